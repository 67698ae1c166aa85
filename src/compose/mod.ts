/** Builds the object graph: the only room that knows every class. @module */
export { serve } from "./serve.ts";
export { type Server, type ServerOptions, startServer } from "./server.ts";
