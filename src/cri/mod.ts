/** The Container Runtime Interface: its server and the adapters to the domain. @module */
export { CriServer, type CriServerOptions } from "./server.ts";
export { runtimeMethods, type RuntimeServiceOptions } from "./runtime_service.ts";
export { imageMethods, type ImageServiceOptions } from "./image_service.ts";
export type { NodeFacts, Obstacle } from "./node_status.ts";
export { type InspectedNode, type InspectionOptions, inspectionRoutes } from "./inspection.ts";
export { type ImageTransferOptions, imageTransferRoutes } from "./image_transfers.ts";
export type { HttpAnswer, HttpHandler, HttpRequest, HttpRoutes } from "./http.ts";
export type { ImageMethods, RuntimeMethods } from "./methods.ts";
export { EXEC_OUTPUT_LIMIT_BYTES, RECEIVE_LIMIT_BYTES } from "./limits.ts";
export { socketPath } from "./unix_socket.ts";
export { type GrpcStatus, grpcStatus } from "./grpc_status.ts";
