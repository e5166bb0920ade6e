// Requests tokens from the page's token endpoint.
class ConnectionError extends Error {
  /** @param {ProblemText} text @param {Problem["values"]} [values] */
  constructor(text, values = {}) {
    super(text);
    /** @type {Problem} */
    this.problem = { text, values };
  }
}

/** @param {string} token @returns {Claims} */
function claimsOf(token) {
  try {
    const payload = token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/");
    return JSON.parse(atob(payload));
  } catch {
    return {};
  }
}

/** @param {Auth | null} auth */
const isValid = (auth) => auth !== null && (claimsOf(auth.token).exp ?? 0) * 1000 > Date.now();

/** @param {string} endpoint @param {string} [refreshToken] @returns {Promise<Auth>} */
async function requestTokens(endpoint, refreshToken) {
  const url = new URL(endpoint, document.baseURI);
  if (refreshToken) url.searchParams.set("refreshToken", refreshToken);
  let response;
  try {
    response = await fetch(url);
  } catch {
    throw new ConnectionError("unreachable");
  }
  if (!response.ok) throw new ConnectionError("refused", { status: response.status });
  const { tokens, avatarParameters } = await response.json().catch(() => ({}));
  if (!tokens?.accessToken || !avatarParameters) throw new ConnectionError("malformed");
  return { token: tokens.accessToken, refreshToken: tokens.refreshToken, avatarParameters, tokenEndpoint: endpoint };
}
