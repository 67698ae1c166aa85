package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"math/rand"
	"strings"
	"time"

	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/client-go/util/exec"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// execs runs commands with streams of every kind.
func (s *streams) execs() {
	var stdout, stderr bytes.Buffer
	err := s.exec(&runtimeapi.ExecRequest{
		Cmd:   []string{"sh", "-c", "cat; echo end of input >&2; exit 7"},
		Stdin: true, Stdout: true, Stderr: true,
	}, remotecommand.StreamOptions{
		Stdin: strings.NewReader("from the client\n"), Stdout: &stdout, Stderr: &stderr,
	})
	s.tap.check("exec returns the exit code", nil, exitCode(err) == 7, "%v", err)
	s.tap.check("exec passes standard input with its end, and both outputs", nil,
		stdout.String() == "from the client\n" && stderr.String() == "end of input\n",
		"%q %q", stdout.String(), stderr.String())
	err = s.exec(&runtimeapi.ExecRequest{Cmd: []string{"no-such-program"}, Stdout: true, Stderr: true},
		remotecommand.StreamOptions{Stdout: io.Discard, Stderr: io.Discard})
	s.tap.check("exec of a program that is not there says so", nil,
		err != nil && strings.Contains(err.Error(), "no-such-program"), "%v", err)
	s.execOnTerminal()
	s.execBinary()
}

func (s *streams) exec(request *runtimeapi.ExecRequest, options remotecommand.StreamOptions) error {
	to, err := s.execURL(request)
	if err != nil {
		return err
	}
	return s.stream(s.ctx, to, options)
}

// exitCode is the command's, 0 for none, and -1 if the session failed otherwise.
func exitCode(err error) int {
	if err == nil {
		return 0
	}
	var exit exec.CodeExitError
	if errors.As(err, &exit) {
		return exit.Code
	}
	return -1
}

// sizes are the terminal's: the first at once, each next one when it is sent.
type sizes chan remotecommand.TerminalSize

func (s sizes) Next() *remotecommand.TerminalSize {
	if size, more := <-s; more {
		return &size
	}
	return nil
}

// watch keeps what is written and calls seen as often as something came.
type watch struct {
	text bytes.Buffer
	seen func(text string)
}

func (w *watch) Write(p []byte) (int, error) {
	w.text.Write(p)
	w.seen(w.text.String())
	return len(p), nil
}

func (s *streams) execOnTerminal() {
	queue := make(sizes, 2)
	queue <- remotecommand.TerminalSize{Width: 100, Height: 40}
	resized := false
	output := &watch{seen: func(text string) {
		if !resized && strings.Contains(text, "small") {
			resized = true
			queue <- remotecommand.TerminalSize{Width: 200, Height: 50}
		}
	}}
	wait := `until [ "$(busybox stty size)" = "%" ]; do sleep 0.05; done; echo `
	err := s.exec(&runtimeapi.ExecRequest{
		Cmd: []string{"sh", "-c", "test -t 0 && test -t 1 && test -t 2 || exit 1; " +
			strings.Replace(wait, "%", "40 100", 1) + "small; " +
			strings.Replace(wait, "%", "50 200", 1) + "large; read line; echo got $line; exit 4"},
		Tty: true, Stdin: true, Stdout: true,
	}, remotecommand.StreamOptions{
		Tty: true, Stdin: strings.NewReader("typed\n"), Stdout: output, TerminalSizeQueue: queue,
	})
	close(queue)
	got := output.text.String()
	s.tap.check("exec with a terminal returns the exit code", nil, exitCode(err) == 4, "%v %q", err, got)
	s.tap.check("the terminal has the client's sizes and what was typed", nil,
		strings.Contains(got, "small\r\n") && strings.Contains(got, "large\r\n") &&
			strings.Contains(got, "got typed\r\n"), "%q", got)
}

// noise are bytes of every value, the same for the same seed.
func noise(seed, length int64) (io.Reader, hash.Hash) {
	sum := sha256.New()
	return io.TeeReader(io.LimitReader(rand.New(rand.NewSource(seed)), length), sum), sum
}

// counting is a hash that knows how much it was given.
type counting struct {
	hash.Hash
	count int64
}

func (c *counting) Write(p []byte) (int, error) {
	c.count += int64(len(p))
	return c.Hash.Write(p)
}

func (s *streams) execBinary() {
	input, sent := noise(1, s.opts.bytes)
	came := &counting{Hash: sha256.New()}
	started := time.Now()
	err := s.exec(&runtimeapi.ExecRequest{Cmd: []string{"cat"}, Stdin: true, Stdout: true},
		remotecommand.StreamOptions{Stdin: input, Stdout: came})
	s.tap.check("exec passes binary data through a command and back", err,
		came.count == s.opts.bytes && bytes.Equal(sent.Sum(nil), came.Sum(nil)),
		"%d of %d bytes, %x %x", came.count, s.opts.bytes, sent.Sum(nil), came.Sum(nil))
	s.tap.figure("exec", s.opts.bytes, time.Since(started))
}

// execTrue is the shortest command there is.
func (s *streams) execTrue(ctx context.Context) error {
	to, err := s.execURL(&runtimeapi.ExecRequest{Cmd: []string{"true"}, Stdout: true, Stderr: true})
	if err != nil {
		return err
	}
	return s.stream(ctx, to, remotecommand.StreamOptions{Stdout: io.Discard, Stderr: io.Discard})
}

// execDaemon ends with its command and not with the output, which a child of it holds for longer.
func (s *streams) execDaemon(ctx context.Context) error {
	to, err := s.execURL(&runtimeapi.ExecRequest{
		Cmd: []string{"sh", "-c", "sleep 5 & echo left"}, Stdout: true, Stderr: true,
	})
	if err != nil {
		return err
	}
	var said bytes.Buffer
	err = s.stream(ctx, to, remotecommand.StreamOptions{Stdout: &said, Stderr: io.Discard})
	if err == nil && said.String() != "left\n" {
		err = fmt.Errorf("a command that leaves a program behind said %q", said.String())
	}
	return err
}

// execBrokenOff leaves while the command runs, which must not outlive it.
func (s *streams) execBrokenOff(ctx context.Context) error {
	to, err := s.execURL(&runtimeapi.ExecRequest{
		Cmd: []string{"sh", "-c", "echo begun; sleep 100000"}, Stdout: true, Stderr: true,
	})
	if err != nil {
		return err
	}
	within, leave := context.WithCancel(ctx)
	defer leave()
	output := &watch{seen: func(string) { leave() }}
	_ = s.stream(within, to, remotecommand.StreamOptions{Stdout: output, Stderr: io.Discard})
	return ctx.Err()
}
