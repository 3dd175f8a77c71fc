// Everything the page asks the service for. Addresses are relative to the page, so it works behind a path prefix.

import { asJson } from "./questions.js";

const base = new URL(".", document.baseURI);

/** What the service refused or could not answer, in its own words. */
export class ServiceError extends Error {}

/** Page data: `read("search", {q: "milk"})`. */
export function read(name, query = {}, signal = undefined) {
  const parameters = new URLSearchParams();
  for (const [key, value] of Object.entries(query)) for (const one of [value].flat()) parameters.append(key, one);
  return asked(`page/${name}?${parameters}`, { signal });
}

/** The public API: `ask("recommend", {...})`. */
export function ask(name, body, signal = undefined) {
  return asked(`v1/${name}`, { method: "POST", headers: { "content-type": "application/json" }, body: asJson(body), signal });
}

/**
 * Runs one question at a time: a newer one drops the older, whose answer is never seen.
 * `run` gets a signal; `show` gets what it returns, `fail` what it throws.
 */
export function latest(show, fail) {
  let current = null;
  return async (run) => {
    current?.abort();
    const own = new AbortController();
    current = own;
    try {
      const answer = await run(own.signal);
      if (!own.signal.aborted) show(answer);
    } catch (error) {
      if (!own.signal.aborted) fail(error);
    }
  };
}

async function asked(address, options) {
  let response;
  try {
    response = await fetch(new URL(address, base), options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ServiceError("The service does not answer. Is it still running?");
  }
  const answer = await response.json().catch(() => null);
  if (!response.ok) throw new ServiceError(answer?.error?.message ?? `The service answered with status ${response.status}.`);
  return answer;
}
