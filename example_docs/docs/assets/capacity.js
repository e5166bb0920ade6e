// The calculator of the page on capacity. `benchmarks/capacity.py` computes the same, and explains it.
(() => {
  const POLICIES = ["direct", "pool", "shared"];
  const DAY = 86400;
  const NUMBER = /^\d+([.,]\d+)?$/;
  // A thousand to some readers, and one to others.
  const AMBIGUOUS = /^[1-9]\d{0,2}([.,]\d{3})+$/;

  const life = (site) => site.token_minutes * 60;

  function heldFor(site, policy, known) {
    if (policy === "pool") return known.freshShare * life(site);
    if (policy === "shared") {
      const early = Math.min(known.earlySeconds, known.earlyShare * life(site));
      return life(site) - known.earlyTimes * early;
    }
    return life(site);
  }

  function visits(site) {
    const hour = (site.visits_a_day * site.busiest_hour) / 100;
    return ((hour / 3600) * site.busiest_minute * site.opened) / 100;
  }

  function herd(site) {
    return (visits(site) * site.visit_minutes * 60) / site.avatars;
  }

  function cost(site, policy, known) {
    const alone = 1 / (policy === "shared" ? known.shared : known.direct);
    return alone + (site.redis ? site.limits * (1 / known.shared_redis - 1 / known.shared) : 0);
  }

  function cores(site, policy, known, requests, logins) {
    const unasked = policy === "pool" ? Math.max(0, logins - requests) : 0;
    return requests * cost(site, policy, known) + unasked / known.direct;
  }

  /** What asks for the most processes, and how many. */
  function bounded(site, policy, known, requests, logins) {
    if (policy === "shared") {
      const atOnce = requests + herd(site) / site.herd_seconds;
      return ["end of a token", ((atOnce * cost(site, policy, known)) / site.use) * 100];
    }
    const busy = (cores(site, policy, known, requests, logins) / site.use) * 100;
    const inFlight = (logins * site.login_ms) / 1000;
    const slots = (inFlight / site.concurrency / site.use) * 100;
    return slots > busy ? ["login slots", slots] : ["cores", busy];
  }

  function poolSize(site, known, requests, processes) {
    const expected = (requests / (processes * site.avatars)) * site.burst_seconds;
    const size = Math.ceil(expected + 3 * Math.sqrt(expected));
    return Math.min(known.largestPool, Math.max(1, size));
  }

  function refill(site, known) {
    const parallel = Math.min(known.filling, Math.max(1, Math.floor(site.concurrency / 2)));
    return Math.min(1 / known.refillSeconds, (parallel * 1000) / site.login_ms);
  }

  function idle(site, known, requests, processes) {
    const stale = poolSize(site, known, requests, processes) / ((1 - known.freshShare) * life(site));
    return processes * site.avatars * Math.min(refill(site, known), stale);
  }

  /** The smallest number that is enough, or null when none is. */
  function processesFor(site, policy, known, requests) {
    const [, load] = bounded(site, policy, known, requests, requests);
    let least = Math.max(Math.ceil(load), Math.ceil(site.least_processes), 1);
    if (policy !== "pool") return least;
    const enough = (processes) => {
      const logins = Math.max(requests, idle(site, known, requests, processes));
      return bounded(site, policy, known, requests, logins)[1] <= processes;
    };
    let most = least;
    while (!enough(most) && poolSize(site, known, requests, most) > 1) most *= 2;
    if (!enough(most)) return null;
    while (least < most) {
      const middle = Math.floor((least + most) / 2);
      if (enough(middle)) most = middle;
      else least = middle + 1;
    }
    return least;
  }

  /** Logins a second in the busiest minute and in a day, and what else a pool tells. */
  function loginsOf(site, policy, known, { requests, requestsADay, processes }) {
    if (policy === "direct") return { logins: requests, logins_a_day: requestsADay };
    if (policy === "shared") {
      const stores = site.redis ? 1 : processes;
      const renewals = (site.avatars * stores) / heldFor(site, policy, known);
      return {
        logins: Math.min(requests, renewals),
        logins_a_day: Math.min(requestsADay, renewals * DAY),
      };
    }
    if (processes === null) return { logins: null, logins_a_day: null };
    const unasked = idle(site, known, requests, processes);
    const most = processes * site.avatars * refill(site, known);
    return {
      logins: Math.max(requests, unasked),
      logins_a_day: Math.max(requestsADay, unasked * DAY),
      pool_size: poolSize(site, known, requests, processes),
      from_pool: 100 * Math.min(1, most / requests),
    };
  }

  function need(site, policy, known) {
    const requestsAVisit = 1 + (site.visit_minutes * 60) / heldFor(site, policy, known);
    const requests = visits(site) * requestsAVisit;
    const requestsADay = ((site.visits_a_day * site.opened) / 100) * requestsAVisit;
    const processes = processesFor(site, policy, known, requests);
    const found = loginsOf(site, policy, known, { requests, requestsADay, processes });
    const { logins } = found;
    const [bound] = bounded(site, policy, known, requests, logins ?? requests);
    const together = policy === "shared" ? herd(site) : null;
    const counters = (requests * known.windowSeconds + together) * site.limits;
    return {
      requests,
      in_flight: logins === null ? null : (logins * site.login_ms) / 1000,
      cores: logins === null ? null : cores(site, policy, known, requests, logins),
      bound,
      processes,
      pool_size: null,
      from_pool: null,
      herd: together,
      redis_calls: site.redis ? requests * site.limits : null,
      redis_megabytes: site.redis ? (counters * known.counterBytes) / 1e6 : null,
      ...found,
    };
  }

  function told(number) {
    if (number === 0) return "none";
    if (number < 0.001) return "< 0.001";
    if (number < 10) return String(Number(number.toPrecision(2)));
    const rounded = number < 1000 ? Math.round(number) : Number(number.toPrecision(3));
    return rounded.toLocaleString("en");
  }

  function shown(value, policy, name) {
    if (value === null) return name === "processes" ? "no number" : "-";
    if (typeof value === "string") return value;
    return policy === "pool" && name === "logins_a_day" ? `at least ${told(value)}` : told(value);
  }

  function valueOf(input) {
    return Number(input.value.trim().replace(",", "."));
  }

  /** What is wrong with a field, in a sentence; nothing when it is right. */
  function wrong(input) {
    const text = input.value.trim();
    const label = input.labels[0].textContent;
    if (AMBIGUOUS.test(text)) {
      return `${label}: write thousands without a comma or a point, not as ${text}.`;
    }
    const { least, most, whole } = input.dataset;
    const value = valueOf(input);
    const fits = NUMBER.test(text) && value >= Number(least) && value <= Number(most);
    if (fits && (whole === undefined || Number.isInteger(value))) return "";
    const numbers = whole === undefined ? "a number" : "a whole number";
    return `${label}: ${numbers} from ${least} to ${most}.`;
  }

  function show(form, known) {
    const status = form.querySelector("[role=status]");
    const fields = [...form.querySelectorAll("input[type=text]")];
    const faults = fields.map(wrong);
    fields.forEach((field, number) => field.setAttribute("aria-invalid", faults[number] !== ""));
    const fault = faults.find((one) => one);
    form.querySelector("table").hidden = fault !== undefined;
    if (fault) {
      status.textContent = fault;
      return;
    }
    const site = Object.fromEntries(fields.map((field) => [field.name, valueOf(field)]));
    site.redis = form.elements.redis.checked;
    const needs = Object.fromEntries(POLICIES.map((policy) => [policy, need(site, policy, known)]));
    const text = (policy, name) => shown(needs[policy][name], policy, name);
    for (const cell of form.querySelectorAll("[data-of]")) {
      const [policy, name] = cell.dataset.of.split(".");
      cell.dataset.value = needs[policy][name] ?? "";
      cell.textContent = text(policy, name);
    }
    const all = (name) => POLICIES.map((policy) => `${policy} ${text(policy, name)}`).join(", ");
    const none =
      "No number of processes is enough for pool, because each keeps fresh grants of every avatar: " +
      "take another policy, or fewer avatars in one service.";
    status.textContent =
      `Processes: ${all("processes")}. Logins a day: ${all("logins_a_day")}.` +
      (needs.pool.processes === null ? ` ${none}` : "");
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
