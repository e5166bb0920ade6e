// The calculator of the page on capacity. `benchmarks/capacity.py` computes the same, and explains it.
(() => {
  const POLICIES = ["direct", "pool", "shared"];
  const DAY = 86400;

  function heldFor(site, policy, known) {
    const life = site.token_minutes * 60;
    if (policy === "pool") return known.freshShare * life;
    if (policy === "shared") {
      return life - known.earlyTimes * Math.min(known.earlySeconds, known.earlyShare * life);
    }
    return life;
  }

  function cost(site, policy, known) {
    const alone = 1 / (policy === "shared" ? known.shared : known.direct);
    return alone + (site.redis ? site.limits * (1 / known.shared_redis - 1 / known.shared) : 0);
  }

  function bounds(site, policy, { requests, cores, herd }) {
    const found = [["cores", (cores / site.use) * 100]];
    if (policy === "shared") {
      found.push(["end of a token", ((cores / requests) * herd) / site.herd_seconds]);
    } else {
      const inFlight = (requests * site.login_ms) / 1000;
      found.push(["login slots", (inFlight / site.concurrency / site.use) * 100]);
    }
    return found.sort(([, one], [, other]) => other - one);
  }

  /** Logins a second in the busiest minute and in a day, and what else a pool tells. */
  function logins(site, policy, known, { requests, requestsADay, processes }) {
    if (policy === "direct") return { logins: requests, logins_a_day: requestsADay };
    if (policy === "shared") {
      const stores = site.redis ? 1 : processes;
      const renewals = (site.avatars * stores) / heldFor(site, policy, known);
      return {
        logins: Math.min(requests, renewals),
        logins_a_day: Math.min(requestsADay, renewals * DAY),
      };
    }
    const pools = processes * site.avatars;
    const expected = (requests / pools) * site.burst_seconds;
    const size = Math.ceil(expected + 3 * Math.sqrt(expected));
    const poolSize = Math.min(known.largestPool, Math.max(1, size));
    const parallel = Math.min(known.filling, Math.max(1, Math.floor(site.concurrency / 2)));
    const most = Math.min(1 / known.refillSeconds, (parallel * 1000) / site.login_ms);
    const stale = poolSize / ((1 - known.freshShare) * site.token_minutes * 60);
    const idle = pools * Math.min(most, stale);
    return {
      logins: Math.max(requests, idle),
      logins_a_day: Math.max(requestsADay, idle * DAY),
      pool_size: poolSize,
      from_pool: 100 * Math.min(1, (pools * most) / requests),
    };
  }

  function need(site, policy, known) {
    const hour = (site.visits_a_day * site.busiest_hour) / 100;
    const visits = ((hour / 3600) * site.busiest_minute * site.opened) / 100;
    const requestsAVisit = 1 + (site.visit_minutes * 60) / heldFor(site, policy, known);
    const requests = visits * requestsAVisit;
    const requestsADay = ((site.visits_a_day * site.opened) / 100) * requestsAVisit;
    const cores = requests * cost(site, policy, known);
    const herd = policy === "shared" ? (visits * site.visit_minutes * 60) / site.avatars : 0;
    const [[bound, load]] = bounds(site, policy, { requests, cores, herd });
    const processes = Math.max(Math.ceil(load), Math.ceil(site.least_processes), 1);
    const calls = site.redis ? requests * site.limits : 0;
    const counters = site.redis ? (requests * known.windowSeconds + herd) * site.limits : 0;
    const found = logins(site, policy, known, { requests, requestsADay, processes });
    return {
      requests,
      in_flight: (found.logins * site.login_ms) / 1000,
      cores,
      bound,
      processes,
      pool_size: 0,
      from_pool: 0,
      herd,
      redis_calls: calls,
      redis_megabytes: (counters * known.counterBytes) / 1e6,
      ...found,
    };
  }

  function told(number) {
    if (typeof number === "string") return number;
    if (number === 0) return "none";
    if (number < 0.001) return "< 0.001";
    if (number < 10) return String(Number(number.toPrecision(2)));
    const rounded = number < 1000 ? Math.round(number) : Number(number.toPrecision(3));
    return rounded.toLocaleString("en");
  }

  function wrong(form) {
    const input = form.querySelector("input:invalid");
    if (!input) return "";
    const numbers = input.step === "1" ? "a whole number" : "a number";
    const ends = [input.min, input.max].map((end) => Number(end).toLocaleString("en"));
    return `${input.labels[0].textContent}: ${numbers} from ${ends.join(" to ")}.`;
  }

  function show(form, known) {
    const status = form.querySelector("[role=status]");
    const fault = wrong(form);
    form.querySelector("table").hidden = fault !== "";
    if (fault) {
      status.textContent = fault;
      return;
    }
    const inputs = [...form.querySelectorAll("input")];
    const site = Object.fromEntries(
      inputs.map((one) => [one.name, one.type === "checkbox" ? one.checked : one.valueAsNumber]),
    );
    const needs = Object.fromEntries(POLICIES.map((policy) => [policy, need(site, policy, known)]));
    for (const cell of form.querySelectorAll("[data-of]")) {
      const [policy, name] = cell.dataset.of.split(".");
      cell.dataset.value = needs[policy][name];
      cell.textContent = told(needs[policy][name]);
    }
    const all = (name) => POLICIES.map((policy) => `${policy} ${told(needs[policy][name])}`).join(", ");
    status.textContent = `Processes: ${all("processes")}. Logins a day: ${all("logins_a_day")}.`;
  }

  function begin() {
    const form = document.querySelector("form.capacity");
    if (!form || !form.hidden) return;
    const known = JSON.parse(form.dataset.constants);
    form.addEventListener("input", () => show(form, known));
    show(form, known);
    form.hidden = false;
  }

  // Material's observable of pages that are shown; a page without it comes once.
  if (window.document$) window.document$.subscribe(begin);
  else document.addEventListener("DOMContentLoaded", begin);
})();
