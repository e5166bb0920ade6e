-- Defines the requests of wrk, and prints the result as one line of JSON. Arguments after `--`:
--   post BODY            send BODY as JSON with POST, and not a GET
--   addresses FIRST ALL  send each request from the next of ALL addresses, beginning with FIRST

function init(args)
  if args[1] == "post" then
    wrk.method = "POST"
    wrk.body = args[2]
    wrk.headers["Content-Type"] = "application/json"
  elseif args[1] == "addresses" then
    local gone, all = tonumber(args[2]), tonumber(args[3])
    local before, after = wrk.format():match("^(.-\r\n)(.*)$")
    local line = before .. "X-Forwarded-For: 11.%d.%d.%d\r\n" .. after
    function request()
      local visitor = gone % all
      gone = gone + 1
      return line:format(visitor / 65536, visitor / 256 % 256, visitor % 256)
    end
  end
end

function done(summary, latency)
  local errors = summary.errors
  local lost = errors.connect + errors.read + errors.write + errors.timeout
  io.write(string.format(
    '\n{"answers": %d, "errors": %d, "seconds": %f, "p50": %f, "p99": %f}\n',
    summary.requests, errors.status + lost, summary.duration / 1e6,
    latency:percentile(50) / 1e6, latency:percentile(99) / 1e6
  ))
end
