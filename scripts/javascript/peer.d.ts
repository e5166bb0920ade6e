// What the benchmarks' peer uses of Express and of Node.

declare module "express" {
  interface Response {
    status(code: number): Response;
    json(body: unknown): void;
  }

  interface Application {
    get(path: string, handle: (request: unknown, response: Response) => Promise<void>): void;
    listen(port: number, host: string): void;
  }

  export default function express(): Application;
}

declare const process: { env: { [name: string]: string | undefined } };
