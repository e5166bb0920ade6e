// Types of the sandbox's component, whose files are put together as one script.

/** What `_loader` in `edge_service/sandbox/app.py` writes before the files. */
declare const ELEMENT: "sentifyd-bot" | "sentifyd-realtime";
declare const SDK: "Sentifyd" | "SentifydRealtime";
declare const STYLE: string;

interface Window {
  Sentifyd: { registerAction(action: Action): void };
  SentifydRealtime: { registerAction(action: Action): void };
}

/** JSON in the session storage. */
interface Store {
  read(key: string): any;
  write(key: string, value: unknown): void;
  remove(key: string): void;
}

type WriteOpen = (key: string, open: boolean) => void;

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

interface Words {
  placeholder: string;
  send: string;
  terms: string;
  privacy: string;
}

/** What the token endpoint gave, as the session storage keeps it. */
interface Auth {
  token: string;
  refreshToken: string;
  avatarParameters: { name: string; language: string; voice: string; websocket: string };
  tokenEndpoint: string;
}

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
