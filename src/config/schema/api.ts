import { flag, integer, list, text } from "../keys.ts";
import { parseDuration } from "../size.ts";
import { absolute, absoluteOrEmpty, cipherSuite, each, oneOf, portText } from "../validators.ts";

/** `[sauropod.api]` */
export const API = {
  listen: text({
    default: "/var/run/crio/crio.sock",
    ours: "/run/sauropod/sauropod.sock",
    meaning: "Unix socket on which the CRI and the HTTP side interface answer.",
    allowed: "absolute path; the socket gets mode 0660",
    check: absolute,
    flags: ["listen"],
    env: ["CONTAINER_LISTEN"],
  }),
  stream_address: text({
    default: "127.0.0.1",
    meaning: "Address on which exec, attach and port-forward streams are served.",
    allowed: "IP address; any other text means the host's own by its default route",
    flags: ["stream-address"],
    env: ["CONTAINER_STREAM_ADDRESS"],
  }),
  stream_port: text({
    default: "0",
    meaning: "Port of the streaming server; 0 takes a free one.",
    allowed: "port number or name of a service, as text",
    check: portText,
    flags: ["stream-port"],
    env: ["CONTAINER_STREAM_PORT"],
  }),
  stream_enable_tls: flag({
    default: false,
    meaning: "Whether the streaming server speaks TLS; needs stream_tls_cert and stream_tls_key.",
    flags: ["stream-enable-tls"],
    env: ["CONTAINER_ENABLE_TLS"],
  }),
  stream_tls_cert: text({
    default: "",
    meaning: "Certificate of the streaming server.",
    check: absoluteOrEmpty,
    flags: ["stream-tls-cert"],
    env: ["CONTAINER_TLS_CERT"],
    reload: "watched",
  }),
  stream_tls_key: text({
    default: "",
    meaning: "Private key of the streaming server.",
    check: absoluteOrEmpty,
    flags: ["stream-tls-key"],
    env: ["CONTAINER_TLS_KEY"],
    reload: "watched",
  }),
  stream_tls_ca: text({
    default: "",
    meaning:
      "Authorities of client certificates; if set, clients of the streaming server need one.",
    check: absoluteOrEmpty,
    flags: ["stream-tls-ca"],
    env: ["CONTAINER_TLS_CA"],
    reload: "watched",
  }),
  stream_idle_timeout: text({
    default: "",
    meaning: "How long an open stream may be idle before it is closed.",
    allowed: "duration such as 4h; empty for 4h, 0 for never",
    check: (value) =>
      value === "" || parseDuration(value) !== undefined
        ? undefined
        : "must be a duration such as 4h",
    flags: ["stream-idle-timeout"],
    env: ["STREAM_IDLE_TIMEOUT"],
  }),
  tls_min_version: text({
    default: "VersionTLS12",
    meaning: "Lowest TLS version of the streaming and metrics servers.",
    allowed: "VersionTLS12, VersionTLS13",
    check: oneOf("VersionTLS12", "VersionTLS13"),
    flags: ["tls-min-version"],
    env: ["CONTAINER_TLS_MIN_VERSION"],
  }),
  tls_cipher_suites: list({
    default: [],
    meaning: "Cipher suites of TLS 1.2.",
    allowed: "Go's names; empty for all that are spoken; no meaning with VersionTLS13",
    check: each(cipherSuite),
    flags: ["tls-cipher-suites"],
    env: ["CONTAINER_TLS_CIPHER_SUITES"],
  }),
  grpc_max_send_msg_size: integer({
    default: 83886080,
    meaning: "Longest answer in bytes.",
    allowed: "0 and below mean the default",
    flags: ["grpc-max-send-msg-size"],
    env: ["CONTAINER_GRPC_MAX_SEND_MSG_SIZE"],
  }),
  grpc_max_recv_msg_size: integer({
    default: 83886080,
    meaning:
      "Longest request in bytes. More than 16777216 means that: it is the kubelet's own limit.",
    allowed: "0 and below mean the default",
    flags: ["grpc-max-recv-msg-size"],
    env: ["CONTAINER_GRPC_MAX_RECV_MSG_SIZE"],
  }),
} as const;
