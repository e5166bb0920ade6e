// Types of the sandbox's component, whose files are put together as one script.

/** What `_loader` in `edge_service/sandbox/app.py` writes before the files. */
declare const ELEMENT: "sentifyd-bot" | "sentifyd-realtime";
declare const SDK: "Sentifyd" | "SentifydRealtime";
declare const STYLE: string;
/** Address of the sandbox's WebSocket. */
declare const SOCKET: string;

interface Window {
  Sentifyd: { registerAction(action: Action): void };
  SentifydRealtime: { registerAction(action: Action): void };
}

/** JSON in the session storage. */
interface Store {
  isBlocked(): boolean;
  read(key: string): any;
  write(key: string, value: unknown): void;
  remove(key: string): void;
}

type WriteOpen = (key: string, open: boolean, enableCaptions: boolean) => void;

interface DescribedAction {
  name: string;
  description: string;
  inputSchema: object;
}

/** What a page registers; `ACTION_RULES` check it. */
interface Action extends DescribedAction {
  provider: string;
  execute(input: unknown, options: { context: object }): unknown;
  classification?: "read" | "write";
  confirmation?: "required";
  [key: string]: unknown;
}

interface RegisteredAction {
  description: DescribedAction;
  execute: Action["execute"];
  asks: boolean;
}

type RunAction = (
  name: string,
  input: unknown,
  context: object,
  allow: (action: DescribedAction, input: unknown) => boolean | Promise<boolean>,
) => Promise<{ result: unknown } | { error: string } | { refused: true }>;

interface Link {
  text: string;
  url: string;
  excerpt?: string;
}

type Line = [who: "avatar" | "visitor", text: string, links?: Link[]];

type OpenLink = (event: MouseEvent) => void;

type LineElements = (line: Line, openLink: OpenLink) => HTMLElement[];

type LinkItem = (link: Link, openLink: OpenLink) => HTMLElement;

type State = "idle" | "connecting" | "connected" | "refreshing" | "error";

/** Texts that explain why there is no connection. */
type ProblemText = "failed" | "unreachable" | "refused" | "malformed" | "broken";

/** A text of the panel. */
type TextName =
  | ("avatar" | "launcher" | "badge" | "mark" | "close" | "conversation")
  | ("message" | "placeholder" | "send" | "terms" | "privacy")
  | ("question" | "input" | "allow" | "refuse" | "retry" | "connect")
  | Exclude<State, "error">
  | ProblemText
  | ("token" | "validity" | "refreshes" | "count" | "parameters" | "voice");

/** The panel's texts in one language; the markup names some of them. */
type Texts = { [name in TextName]: string } & { [name: string]: string };

/** Values for the `{name}` in a text. */
type FillText = (text: string, values: { [name: string]: any }) => string;

interface Problem {
  text: ProblemText;
  values: { [name: string]: string | number };
}

/** What the panel tells the element about its visitor. */
interface PanelEvents {
  toggled(open: boolean): void;
  retry(): void;
  say(text: string): void;
  followed(event: MouseEvent): void;
}

interface Claims {
  exp?: number;
  jti?: string;
}

interface AvatarParameters {
  name?: string;
  language?: string;
  voice?: string;
  websocket?: string;
}

/** What the token endpoint gave. `<sentifyd-bot>` keeps it in the session storage as it is. */
interface Auth {
  token: string;
  refreshToken: string;
  avatarParameters: AvatarParameters;
  tokenEndpoint: string;
}

/** What the panel shows of it. */
interface Issued {
  claims: Claims;
  refreshes: number;
  parameters: AvatarParameters;
}

/** The element, as its connection sees it. */
interface ConnectionHost {
  readonly endpoint: string;
  key(name: string): string;
  setState(state: State, problem?: Problem | null): void;
  issued(issued: Issued): void;
  disconnected(): void;
  receive(message: Message): void;
}

/** Attributes that are true or false. */
type Flag = "toggler" | "compact" | "overlay";

/** What the sandbox's server sends. */
type Message =
  | { type: "ready"; greeting: string }
  | { type: "greeting"; text: string }
  | { type: "message"; text: string; links?: Link[] }
  | { type: "call"; call: string; name: string; arguments: unknown };

interface SentifydSandbox {
  /** Of the realtime component only. */
  _handleToggleChatbot?(): void;
}
