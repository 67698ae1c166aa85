/** The command `serve`: a server from its first line of log to its last. @module */
import { connectTo, type ServeOptions } from "../cli/mod.ts";
import { assertUsable, LiveConfiguration } from "../config/mod.ts";
import { ActiveFaultGates, NO_FAULT_GATES, parseFaultSpec } from "../state/mod.ts";
import {
  closeDebuggerPort,
  createLinuxKernel,
  limitAllocatorArenas,
  NotifySocket,
  sealDescriptors,
  type ServiceEnvironment,
  serviceEnvironment,
} from "../sys/mod.ts";
import {
  createLogger,
  type Logger,
  type LoggerOptions,
  type LogLevel,
  type LogSink,
} from "../telemetry/mod.ts";
import { ConfigurationReloader } from "./configuration_reloader.ts";
import { type Server, startServer } from "./server.ts";
import { ServiceWatch } from "./service_watch.ts";

/** From SIGTERM to the end of the process, whatever hangs. */
const STOP_DEADLINE_MS = 5_000;

/** @returns the exit status, when the server has been told to stop and has stopped */
export async function serve(options: ServeOptions, version: string): Promise<number> {
  const { loaded, logFile, logFormat, faultGates } = options;
  const environment = serviceEnvironment(Deno.env, Deno.pid);
  closeDebuggerPort();
  limitAllocatorArenas();
  sealDescriptors(createLinuxKernel());
  // What is private has a private directory; monitors, runtimes and execs inherit the mask, and what
  // we write for containers must be readable by users other than root.
  Deno.umask(0o022);
  const live = new LiveConfiguration(loaded, options.reload);
  using sink = openSink(logFile);
  const log = createLogger(loggerOptions(live, { format: logFormat, sink }));
  for (const { level, key, message } of loaded.notices) {
    if (level === "error") log.error(message, { key });
    else log.warn(message, { key });
  }
  assertUsable(loaded);
  using gates = faultGates === undefined
    ? undefined
    : new ActiveFaultGates(parseFaultSpec(faultGates));
  using stopping = stopSignals();
  using _hangUps = ignoredHangUps();
  globalThis.addEventListener("unhandledrejection", (event) => {
    event.preventDefault();
    log.error("A failure had no owner", { error: event.reason });
  });
  const server = await startServer({
    live,
    flavour: loaded.flavour,
    version,
    registriesConf: options.registriesConf,
    registriesConfDir: options.registriesConfDir,
    gates: gates ?? NO_FAULT_GATES,
    log,
  });
  log.info("Serving", { version, socket: server.socket, pid: Deno.pid });
  using watch = serviceWatch(environment, server.socket, log);
  const status = `Serving on ${server.socket}`;
  await watch.ready(status);
  using reloader = new ConfigurationReloader({
    live,
    places: loaded.places,
    watcher: server.fileWatcher,
    around: (reload) => watch.reloading(status, reload),
    log,
  });
  const signal = await stopping.received;
  // What it tells its manager would contradict what comes now.
  reloader[Symbol.dispose]();
  log.info("Stopping; containers go on", { signal });
  await watch.stopping();
  await stopWithin(server, log);
  return 0;
}

function serviceWatch(environment: ServiceEnvironment, socket: string, log: Logger): ServiceWatch {
  const manager = environment.notifySocket === undefined
    ? undefined
    : new NotifySocket(createLinuxKernel(), environment.notifySocket);
  return new ServiceWatch({
    environment,
    notify: manager && ((state) => manager.notify(state)),
    conditions: async (timeoutMs) => {
      // A connection for each question: what is judged is what a new client would see.
      using client = connectTo({ socket, timeoutMs });
      const { status } = await client.runtime.status({ verbose: false });
      return status?.conditions ?? [];
    },
    log,
  });
}

async function stopWithin(server: Server, log: Logger): Promise<void> {
  const late = setTimeout(() => {
    // Whatever is cut off here is finished or undone by the next start.
    log.warn("Something did not stop in time and is left to the next start", {});
    Deno.exit(0);
  }, STOP_DEADLINE_MS);
  try {
    await server[Symbol.asyncDispose]();
  } finally {
    clearTimeout(late);
  }
}

interface StopSignals extends Disposable {
  /** Name of the first signal that asks to stop. */
  readonly received: Promise<string>;
}

function stopSignals(): StopSignals {
  const { promise, resolve } = Promise.withResolvers<string>();
  const names = ["SIGTERM", "SIGINT"] as const;
  const listeners = names.map((name) => [name, () => resolve(name)] as const);
  for (const [name, listener] of listeners) Deno.addSignalListener(name, listener);
  return {
    received: promise,
    [Symbol.dispose](): void {
      for (const [name, listener] of listeners) Deno.removeSignalListener(name, listener);
    },
  };
}

/** One that comes before there is something to reload must not end the process. */
function ignoredHangUps(): Disposable {
  const ignore = () => {};
  Deno.addSignalListener("SIGHUP", ignore);
  return { [Symbol.dispose]: () => Deno.removeSignalListener("SIGHUP", ignore) };
}

/** Level and filter follow the configuration. */
function loggerOptions(
  live: LiveConfiguration,
  fixed: Pick<LoggerOptions, "format" | "sink">,
): LoggerOptions {
  let filter: { readonly text: string; readonly pattern: RegExp } | undefined;
  return {
    ...fixed,
    get level(): LogLevel {
      return live.current.runtime.log_level as LogLevel;
    },
    get filter(): RegExp | undefined {
      const { log_filter: text } = live.current.runtime;
      if (text === "") return undefined;
      if (filter?.text !== text) filter = { text, pattern: new RegExp(text) };
      return filter.pattern;
    },
  };
}

/** Standard error, or a file that is appended to. */
function openSink(path: string | undefined): LogSink & Disposable {
  const encoder = new TextEncoder();
  if (path === undefined) {
    return {
      write: (line) => void Deno.stderr.writeSync(encoder.encode(line)),
      [Symbol.dispose]: () => {},
    };
  }
  const file = Deno.openSync(path, { append: true, create: true, mode: 0o600 });
  return {
    write: (line) => void file.writeSync(encoder.encode(line)),
    [Symbol.dispose]: () => file.close(),
  };
}
