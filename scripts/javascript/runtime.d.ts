// Types of the browser runtime. They are here because its files reach visitors as they are.

/** What a page's `<meta name=sentifyd>` holds; `embed.py` and `runtime.py` in `tags/` write it. */
interface Settings {
  avatar: string;
  element: string;
  attributes: Attributes;
  loader: { src: string; type?: string } | null;
  endpoint: string | null;
  identity: string;
  place: boolean;
  parts: string[];
  /** How a script opens and closes the component; `components.py` describes it. */
  opening: { storage: string; field: string | null; toggle: "_handleToggleChatbot" };
  ending: Ending | null;
  stored: string[];
  /** Prefix of the session storage key under which the component keeps its tokens. */
  tokens: string;
  consent?: string;
  shortcut?: string;
  /** There whenever the part `launcher` is. */
  launcher: { lang: string; label: string; loading: string; failed: string; style: string };
  /** There whenever the part `question` is. */
  question: Question;
}

/** The question for consent; `url` is the address of the privacy policy. */
interface Question {
  lang: string;
  texts: string[];
  url: string | null;
}

type Attributes = { [name: string]: string | undefined };

/** What a part exports. The core calls it on every page, with `null` where no avatar is wanted. */
type Part = (settings: Settings | null) => void;

/** What visitors agreed to, by the names of the questions. */
type Choices = { [name: string]: boolean };

type Dispatch = (event: string, detail?: object) => void;

type Fail = (reason: string, message: string) => void;

interface Docs {
  open(): void;
  close(): void;
  toggle(): void;
  destroy(): void;
  push(name: "open" | "close" | "toggle" | "destroy"): void;
}

/** The last request to open or close, and the stored state then: storage may be blocked or full. */
interface Asked {
  key?: string;
  text?: string;
  isOpen?: boolean;
}

/**
 * Returns whether a new element has to replace this one. A living element does not read the
 * storage again, and must not be removed and put back when it lacks the method.
 */
type SetOpen = (element: HTMLElement | null, wanted: boolean) => boolean;

/** When an element can be removed; `Ending` in `components.py` describes it. */
interface Ending {
  connecting: number;
  pauses: number[];
  silence: number;
  longest: number;
}

/** What an element asks the token endpoint, and how often in a row it was refused. */
interface Requests {
  ending: Ending | null;
  endpoint: string | null;
  settle: Settle;
  refusals: number;
}

/** Called when an element is connected, or has stopped asking because it was refused. */
type Settle = (isRefused: boolean) => void;

type Begin = (settle: Settle) => void;

type Count = (url: string, isRefused: boolean) => void;

type SetStyle = (style: CSSStyleDeclaration, wanted?: string) => void;

type Draw = (busy: boolean, message: string) => void;

type Finish = (element: HTMLElement, tries?: number, frames?: number) => void;

/** An action as both of the vendor's SDKs take it. */
interface Action {
  name: string;
  provider: string;
  description: string;
  inputSchema: object;
  execute(input?: Input): Promise<unknown>;
}

/** What an avatar passes to an action; `check` has not seen it yet. */
type Input = { [key: string]: any };

/** The part of JSON Schema that the actions need. */
interface Property {
  type: string;
  minLength?: number;
  maxLength?: number;
  minimum?: number;
  maximum?: number;
  description: string;
}

type MakeAction = (
  name: string,
  description: string,
  properties: { [key: string]: Property },
  required: string[],
  run: (input: any) => unknown,
) => Action;

type Assert = (fits: boolean, message: string) => void;

type Check = (key: string, value: any, property?: Partial<Property>) => void;

type Ask = (url: string | URL, method?: string) => Promise<Response>;

/** A page action SDK of the vendor, or WebMCP. */
interface ActionSdk {
  [method: string]: (action: Partial<Action>) => unknown;
}

type Offer = (
  sdk: ActionSdk | undefined,
  method: string,
  adapt?: (action: Action) => Partial<Action>,
) => Promise<void>;

/** A search index: MkDocs writes `docs`, Zensical `items`. */
interface SearchIndex {
  config: { indexing?: string };
  docs?: Entry[];
  items: Entry[];
}

/** An entry with what a search needs. */
interface Found {
  page: string;
  title: string;
  section: string;
  url: string;
  text: string;
  words: string;
}

/** Loaded once; `null` before the first search and after a failure. */
type Index = Promise<Found[]> | null;

/** The pages' titles, by their addresses. */
type Titles = { [page: string]: string };

interface Entry {
  location: string;
  title: string;
  text: string;
}

type Search = (root: string, input: { query: string; limit?: number }) => Promise<object>;

type Read = (url: URL, html?: string) => object;

type Edit = (selectors: string, change: (node: Element) => void) => void;

interface Window {
  /** Before the runtime: the names of methods that a page wants called. */
  sentifydDocs: Docs & { forEach?(call: Docs["push"]): void };
  Sentifyd?: ActionSdk;
  SentifydRealtime?: ActionSdk;
  /** Material's and Zensical's stored choices, and their stream of pages. */
  __md_get?(key: string): Choices | null;
  __md_set(key: string, choices: Choices): void;
  __md_scope?: URL;
  document$?: { subscribe(listener: () => void): void };
}

interface Document {
  modelContext?: ActionSdk;
}

interface Navigator {
  modelContext?: ActionSdk;
}

interface DocumentEventMap {
  "sentifyd:consent": CustomEvent<Choices>;
  "sentifyd:shown": CustomEvent<{ element: HTMLElement }>;
}

interface ParentNode {
  querySelectorAll(selectors: "button[data-sentifyd-withdraw]"): NodeListOf<HTMLButtonElement>;
  querySelector(selectors: `form[name=consent] input[name=${string}]`): HTMLInputElement | null;
  querySelector(selectors: "meta[name=sentifyd]"): HTMLMetaElement | null;
}

interface HTMLElement {
  /** Only in some versions of the vendor's components. */
  _handleToggleChatbot(): void;
  /** Whether a component made with Lit is drawn; others do not have it. */
  hasUpdated?: boolean;
  /** The runtime listens to nothing else on an element. */
  addEventListener(type: string, listener: (event: KeyboardEvent) => void): void;
}

/** The only collection of elements that is taken apart is the launcher's. */
interface HTMLCollection {
  [Symbol.iterator](): ArrayIterator<HTMLElement>;
}

interface KeyboardEvent {
  target: Element;
}

interface PointerEvent {
  target: Element;
}

/** The runtime observes resources only, in engines where all of them have it. */
interface PerformanceEntry {
  responseStatus: number;
}
