// Page actions: functions that a page offers to its avatar. All elements of a document share them.
const MAX_ACTIONS = 60_000;
const MAX_RESULT = 65_000;
const MAX_ERROR = 500;
const EXECUTE_SECONDS = 10;

/** @type {Map<string, RegisteredAction>} */
const actions = new Map();
/** @type {Set<() => void>} */
const actionListeners = new Set();

/** @param {unknown} value */
const isText = (value) => typeof value === "string" && value.trim() !== "";
/** @type {(...choices: unknown[]) => (value: unknown) => boolean} */
const isOneOf = (...choices) => (value) => value === undefined || choices.includes(value);

/** @type {{ [key: string]: [isRight: (value: any) => boolean, wanted: string] }} */
const ACTION_RULES = {
  name: [(name) => isText(name) && /^[\w.-]{1,64}$/.test(name), "1 to 64 letters, digits, dots, hyphens or underscores"],
  provider: [isText, "text that names who offers the action"],
  description: [isText, "text that describes the action for the avatar"],
  inputSchema: [(schema) => schema?.constructor === Object, "a JSON Schema as a plain object"],
  execute: [(execute) => typeof execute === "function", "a function"],
  classification: [isOneOf("read", "write"), "read or write"],
  confirmation: [isOneOf("required"), "required, or left out"],
};

/** @param {Action} action */
function registerAction(action) {
  for (const [key, [isRight, wanted]] of Object.entries(ACTION_RULES)) {
    if (!isRight(action?.[key])) throw new Error(`registerAction: ${key} must be ${wanted}`);
  }
  const { name, description, inputSchema, execute, classification, confirmation } = action;
  if (actions.has(name)) throw new Error(`registerAction: ${name} is registered already`);
  let text;
  try {
    text = JSON.stringify([...describeActions(), { name, description, inputSchema }]);
  } catch {
    throw new Error("registerAction: inputSchema must be JSON");
  }
  if (text.length > MAX_ACTIONS) {
    throw new Error(`registerAction: ${name} is too large: all actions together must fit in ${MAX_ACTIONS} characters`);
  }
  actions.set(name, {
    description: JSON.parse(text).at(-1),
    execute,
    asks: classification === "write" && confirmation === "required",
  });
  actionListeners.forEach((notify) => notify());
}

const describeActions = () => [...actions.values()].map(({ description }) => description);

/**
 * Run an action. The answer is `{ result }`, `{ error }` or `{ refused: true }`.
 * `allow` asks the visitor, where the action wants that.
 * @type {RunAction}
 */
async function runAction(name, input, context, allow) {
  try {
    const action = actions.get(name);
    if (!action) throw new Error(`this page has no action ${name}`);
    if (action.asks && !(await allow(action.description, input))) return { refused: true };
    const result = (await withinTime(action.execute(input, { context }))) ?? null;
    if (JSON.stringify(result).length > MAX_RESULT) throw new Error("its result is too long");
    return { result };
  } catch (/** @type {any} */ error) {
    return { error: String(error?.message ?? error).slice(0, MAX_ERROR) };
  }
}

/** @param {unknown} promise */
function withinTime(promise) {
  /** @type {number} */
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error("it took too long")), EXECUTE_SECONDS * 1000);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}
