package main

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/httpstream"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/tools/remotecommand"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// speedReport is what speedMain prints, as JSON.
type speedReport struct {
	// Milliseconds of the transfer, or of each command.
	Milliseconds []float64
	// ClientCPU is how long this program kept a processor busy meanwhile, in milliseconds.
	ClientCPU float64
}

// speedMain measures one way through a container or its port, or the latency of commands.
func speedMain(args []string) {
	flags := flag.NewFlagSet("speed", flag.ExitOnError)
	opts := flagsOfStreams(flags)
	path := flags.String("path", "exec-out", "exec-out, exec-in, forward-out, forward-in, or latency")
	count := flags.Int("count", 1, "commands, for latency")
	_ = flags.Parse(args)
	s, end := connectStreams(*opts)
	defer end()
	measure, known := map[string]func() (speedReport, error){
		"exec-out":    func() (speedReport, error) { return s.timed(s.execOut) },
		"exec-in":     func() (speedReport, error) { return s.timed(s.execIn) },
		"forward-out": func() (speedReport, error) { return s.timed(s.forwardOut) },
		"forward-in":  func() (speedReport, error) { return s.timed(s.forwardIn) },
		"latency":     func() (speedReport, error) { return s.latencies(*count) },
	}[*path]
	if !known {
		fmt.Fprintf(os.Stderr, "there is no path %q\n", *path)
		os.Exit(2)
	}
	report, err := measure()
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s by %s: %v\n", *path, opts.protocol, err)
		os.Exit(1)
	}
	_ = json.NewEncoder(os.Stdout).Encode(report)
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func processorTime() time.Duration {
	var usage syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// timed is how long a transfer took whose answer is the digest of what came.
func (s *streams) timed(transfer func() (string, error)) (speedReport, error) {
	started, busy := time.Now(), processorTime()
	digest, err := transfer()
	report := speedReport{
		Milliseconds: []float64{milliseconds(time.Since(started))},
		ClientCPU:    milliseconds(processorTime() - busy),
	}
	if err == nil {
		err = s.same(digest)
	}
	return report, err
}

func (s *streams) latencies(count int) (speedReport, error) {
	times := make([]float64, count)
	busy := processorTime()
	for i := range times {
		started := time.Now()
		if err := s.execTrue(s.ctx); err != nil {
			return speedReport{}, err
		}
		times[i] = milliseconds(time.Since(started))
	}
	return speedReport{Milliseconds: times, ClientCPU: milliseconds(processorTime() - busy)}, nil
}

func (s *streams) execOut() (string, error) {
	came := &counting{Hash: sha256.New()}
	err := s.exec(&runtimeapi.ExecRequest{
		Cmd: []string{"/client", "source", strconv.FormatInt(s.opts.bytes, 10)}, Stdout: true,
	}, remotecommand.StreamOptions{Stdout: came})
	return hex.EncodeToString(came.Sum(nil)), err
}

func (s *streams) execIn() (string, error) {
	var said bytes.Buffer
	err := s.exec(&runtimeapi.ExecRequest{Cmd: []string{"/client", "sink"}, Stdin: true, Stdout: true},
		remotecommand.StreamOptions{Stdin: newPattern(s.opts.bytes), Stdout: &said})
	return strings.TrimSpace(said.String()), err
}

func (s *streams) forwardOut() (string, error) {
	came := sha256.New()
	err := s.withForwarded(func(stream httpstream.Stream) error {
		if _, err := fmt.Fprintf(stream, "source %d\n", s.opts.bytes); err != nil {
			return err
		}
		_, err := io.Copy(came, stream)
		return err
	})
	return hex.EncodeToString(came.Sum(nil)), err
}

func (s *streams) forwardIn() (string, error) {
	var said []byte
	err := s.withForwarded(func(stream httpstream.Stream) error {
		// With its length: containerd 1.6 lets the answer drop after the client's end.
		if _, err := fmt.Fprintf(stream, "sink %d\n", s.opts.bytes); err != nil {
			return err
		}
		if _, err := io.Copy(stream, newPattern(s.opts.bytes)); err != nil {
			return err
		}
		var err error
		said, err = io.ReadAll(stream)
		return err
	})
	return strings.TrimSpace(string(said)), err
}

// withForwarded opens one connection to the port as the library's forwarder does, without the socket of this
// machine that it puts in front: what is measured is the server.
func (s *streams) withForwarded(use func(httpstream.Stream) error) error {
	to, err := s.forwardURL()
	if err != nil {
		return err
	}
	dialer, err := s.dialer(to)
	if err != nil {
		return err
	}
	connection, _, err := dialer.Dial(portforward.PortForwardProtocolV1Name)
	if err != nil {
		return err
	}
	defer connection.Close()
	headers := http.Header{}
	headers.Set(corev1.StreamType, corev1.StreamTypeError)
	headers.Set(corev1.PortHeader, strconv.Itoa(s.opts.port))
	headers.Set(corev1.PortForwardRequestIDHeader, "0")
	failures, err := connection.CreateStream(headers)
	if err != nil {
		return err
	}
	if err := failures.Close(); err != nil {
		return err
	}
	headers.Set(corev1.StreamType, corev1.StreamTypeData)
	data, err := connection.CreateStream(headers)
	if err != nil {
		return err
	}
	if err := use(data); err != nil {
		said, _ := io.ReadAll(io.LimitReader(failures, 4096))
		return errors.Join(err, errors.New(string(said)))
	}
	return nil
}

// same compares a digest with that of what was sent.
func (s *streams) same(digest string) error {
	sum := sha256.New()
	_, _ = io.Copy(sum, newPattern(s.opts.bytes))
	if want := hex.EncodeToString(sum.Sum(nil)); digest != want {
		return fmt.Errorf("what came has digest %q, not %s", digest, want)
	}
	return nil
}

// patternBlock is how much of a pattern has the same bytes, but for its number.
const patternBlock = 1 << 20

// pattern gives bytes of every value in no time, so that making them is not what is measured. No two blocks are
// the same: one that is lost or repeated changes the digest.
type pattern struct {
	block []byte
	at    int64
	end   int64
}

func newPattern(length int64) *pattern {
	block := make([]byte, patternBlock)
	state := uint32(1)
	for i := range block {
		state = state*1664525 + 1013904223
		block[i] = byte(state >> 24)
	}
	return &pattern{block: block, end: length}
}

func (p *pattern) Read(into []byte) (int, error) {
	part, err := p.next()
	n := copy(into, part)
	p.at += int64(n)
	return n, err
}

// WriteTo spares a copy.
func (p *pattern) WriteTo(to io.Writer) (int64, error) {
	began := p.at
	for {
		part, err := p.next()
		if err == io.EOF {
			return p.at - began, nil
		}
		n, err := to.Write(part[:min(len(part), 64<<10)])
		p.at += int64(n)
		if err != nil {
			return p.at - began, err
		}
	}
}

// next is the rest of the block that is under way.
func (p *pattern) next() ([]byte, error) {
	if p.at == p.end {
		return nil, io.EOF
	}
	inBlock := p.at % patternBlock
	if inBlock == 0 {
		copy(p.block, strconv.FormatInt(p.at/patternBlock, 10))
	}
	return p.block[inBlock:min(patternBlock, inBlock+p.end-p.at)], nil
}

// sourceMain writes a pattern of so many bytes to standard output.
func sourceMain(args []string) {
	length, err := strconv.ParseInt(args[0], 10, 64)
	if err == nil {
		_, err = newPattern(length).WriteTo(os.Stdout)
	}
	exitOn(err)
}

// sinkMain reads standard input to its end and says its digest.
func sinkMain() {
	exitOn(runSink(os.Stdin, os.Stdout))
}

func exitOn(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func runSink(from io.Reader, to io.Writer) error {
	sum := sha256.New()
	// Hides that a file could send itself, in pieces of its own choice.
	if _, err := io.CopyBuffer(sum, struct{ io.Reader }{from}, make([]byte, 1<<20)); err != nil {
		return err
	}
	_, err := fmt.Fprintln(to, hex.EncodeToString(sum.Sum(nil)))
	return err
}

// speedServerMain serves connections that begin with "source BYTES" or "sink BYTES".
func speedServerMain(args []string) {
	listenAndServe(args[0], func(connection net.Conn) {
		reader := bufio.NewReaderSize(connection, 1<<20)
		var word string
		var length int64
		_, err := fmt.Fscanf(reader, "%s %d\n", &word, &length)
		switch {
		case err != nil:
		case word == "source":
			_, err = newPattern(length).WriteTo(connection)
		case word == "sink":
			err = runSink(io.LimitReader(reader, length), connection)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	})
}
