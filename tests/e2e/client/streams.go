package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"time"

	"k8s.io/apimachinery/pkg/util/httpstream"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/client-go/transport/spdy"
	internalapi "k8s.io/cri-api/pkg/apis"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	remote "k8s.io/cri-client/pkg"
	"k8s.io/klog/v2"
)

// streamOptions are what the driver of the test has made ready.
type streamOptions struct {
	endpoint  string
	protocol  string
	container string
	terminal  string
	pod       string
	port      int
	authority string
	bytes     int64
	execs     int
	attaches  int
	failures  int
	daemons   int
}

// streams checks exec, attach and port-forward by one protocol, as kubectl speaks it.
type streams struct {
	ctx     context.Context
	opts    streamOptions
	runtime internalapi.RuntimeService
	tap     *tap
}

func streamsMain(args []string) {
	flags := flag.NewFlagSet("streams", flag.ExitOnError)
	opts := flagsOfStreams(flags)
	_ = flags.Parse(args)
	s, end := connectStreams(*opts)
	defer end()
	if opts.execs > 0 || opts.attaches > 0 || opts.failures > 0 || opts.daemons > 0 {
		s.flood()
	} else {
		s.execs()
		s.attaches()
		s.attachesToTerminal()
		s.forwards()
		s.refusal()
		s.tokens()
	}
	if !s.tap.end() {
		os.Exit(1)
	}
}

func flagsOfStreams(flags *flag.FlagSet) *streamOptions {
	var opts streamOptions
	flags.StringVar(&opts.endpoint, "endpoint", "", "CRI endpoint, unix:///path")
	flags.StringVar(&opts.protocol, "protocol", "spdy", "spdy or websocket")
	flags.StringVar(&opts.container, "container", "", "container with standard input that echoes lines")
	flags.StringVar(&opts.terminal, "terminal", "", "container with a terminal that says each line with the terminal's size")
	flags.StringVar(&opts.pod, "pod", "", "pod with a server that echoes what it is sent")
	flags.IntVar(&opts.port, "port", 0, "port of that server")
	flags.StringVar(&opts.authority, "authority", "", "file with the certificate of the authority that a server of TLS is trusted by")
	flags.Int64Var(&opts.bytes, "bytes", 64<<20, "bytes to send through a command and back")
	flags.IntVar(&opts.execs, "execs", 0, "instead of the checks: run so many commands, and break one off")
	flags.IntVar(&opts.attaches, "attaches", 0, "instead of the checks: break off so many attached sessions")
	flags.IntVar(&opts.daemons, "daemons", 0, "instead of the checks: run so many commands that leave a program behind which holds their output")
	flags.IntVar(&opts.failures, "failures", 0, "instead of the checks: so often each way in which an exec can end early")
	return &opts
}

// connectStreams ends the program if nobody answers. The caller calls end.
func connectStreams(opts streamOptions) (s *streams, end func()) {
	// The library complains of every connection that is broken off on purpose.
	klog.LogToStderr(false)
	klog.SetOutput(io.Discard)
	// A hang guard, ten times and more what all of it takes.
	guard := 10*time.Minute + time.Duration(opts.execs+opts.attaches+opts.daemons+3*opts.failures)*time.Second
	ctx, cancel := context.WithTimeout(context.Background(), guard)
	runtime, err := remote.NewRemoteRuntimeService(ctx, opts.endpoint, 2*time.Minute, nil, false)
	if err != nil {
		fmt.Println("Bail out! could not connect:", err)
		os.Exit(1)
	}
	return &streams{ctx: ctx, opts: opts, runtime: runtime, tap: &tap{}}, cancel
}

// execURL asks for the URL of a command.
func (s *streams) execURL(request *runtimeapi.ExecRequest) (*url.URL, error) {
	request.ContainerId = s.opts.container
	answer, err := s.runtime.Exec(s.ctx, request)
	if err != nil {
		return nil, err
	}
	return url.Parse(answer.GetUrl())
}

func (s *streams) attachURL(request *runtimeapi.AttachRequest) (*url.URL, error) {
	answer, err := s.runtime.Attach(s.ctx, request)
	if err != nil {
		return nil, err
	}
	return url.Parse(answer.GetUrl())
}

func (s *streams) forwardURL() (*url.URL, error) {
	answer, err := s.runtime.PortForward(s.ctx, &runtimeapi.PortForwardRequest{PodSandboxId: s.opts.pod})
	if err != nil {
		return nil, err
	}
	return url.Parse(answer.GetUrl())
}

// config is the library's for a server of streams.
func (s *streams) config() *rest.Config {
	return &rest.Config{TLSClientConfig: rest.TLSClientConfig{CAFile: s.opts.authority}}
}

// executor is the library's for exec and attach.
func (s *streams) executor(to *url.URL) (remotecommand.Executor, error) {
	if s.opts.protocol == "websocket" {
		return remotecommand.NewWebSocketExecutor(s.config(), http.MethodGet, to.String())
	}
	return remotecommand.NewSPDYExecutor(s.config(), http.MethodPost, to)
}

// stream opens a URL and serves it to its end.
func (s *streams) stream(ctx context.Context, to *url.URL, options remotecommand.StreamOptions) error {
	executor, err := s.executor(to)
	if err != nil {
		return err
	}
	return executor.StreamWithContext(ctx, options)
}

// dialer is the library's for port-forward.
func (s *streams) dialer(to *url.URL) (httpstream.Dialer, error) {
	if s.opts.protocol == "websocket" {
		return portforward.NewSPDYOverWebsocketDialer(to, s.config())
	}
	transport, upgrader, err := spdy.RoundTripperFor(s.config())
	if err != nil {
		return nil, err
	}
	return spdy.NewDialer(upgrader, &http.Client{Transport: transport}, http.MethodPost, to), nil
}
