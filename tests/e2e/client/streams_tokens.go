package main

import (
	"io"
	"net/url"
	"strings"

	"k8s.io/client-go/tools/remotecommand"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// tokens shows that a URL is good once, and only if it was given out.
func (s *streams) tokens() {
	request := &runtimeapi.ExecRequest{Cmd: []string{"true"}, Stdout: true}
	options := remotecommand.StreamOptions{Stdout: io.Discard}
	to, err := s.execURL(request)
	s.tap.check("a URL for exec", err, true, "")
	if err != nil {
		return
	}
	s.tap.check("a URL works once", s.stream(s.ctx, to, options), true, "")
	s.checkNotFound("a URL's second use", s.stream(s.ctx, to, options))
	to, err = s.execURL(request)
	s.tap.check("another URL", err, true, "")
	if err != nil {
		return
	}
	s.checkNotFound("a token that nobody gave out",
		s.stream(s.ctx, to.ResolveReference(&url.URL{Path: to.Path + "x"}), options))
	s.checkNotFound("a token for something else", s.stream(s.ctx,
		to.ResolveReference(&url.URL{Path: strings.Replace(to.Path, "/exec/", "/attach/", 1)}), options))
}

// checkNotFound wants HTTP's status 404, which the library has in its text only.
func (s *streams) checkNotFound(name string, err error) {
	s.tap.check(name+" answers 404", nil, err != nil && strings.Contains(err.Error(), "404"), "%v", err)
}
