package main

import (
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// refusals asks for what must not be done, and looks that nothing was.
func (s *session) refusals() {
	for _, bad := range []struct {
		name   string
		want   codes.Code
		change func(*runtimeapi.PodSandboxConfig)
	}{
		{"no metadata", codes.InvalidArgument, func(c *runtimeapi.PodSandboxConfig) { c.Metadata = nil }},
		{"a name with a slash", codes.InvalidArgument,
			func(c *runtimeapi.PodSandboxConfig) { c.Metadata.Name = "a/b" }},
		{"a namespace that goes up", codes.InvalidArgument,
			func(c *runtimeapi.PodSandboxConfig) { c.Metadata.Namespace = ".." }},
		{"a uid of two lines", codes.InvalidArgument,
			func(c *runtimeapi.PodSandboxConfig) { c.Metadata.Uid = "a\nb" }},
		{"a relative log directory", codes.InvalidArgument,
			func(c *runtimeapi.PodSandboxConfig) { c.LogDirectory = "logs" }},
		{"an unknown namespace mode", codes.InvalidArgument, func(c *runtimeapi.PodSandboxConfig) {
			c.Linux.SecurityContext.NamespaceOptions.Network = 42
		}},
		{"an endless name", codes.ResourceExhausted,
			func(c *runtimeapi.PodSandboxConfig) { c.Metadata.Name = strings.Repeat("a", 10_000) }},
		{"a user namespace", codes.Unimplemented, func(c *runtimeapi.PodSandboxConfig) {
			c.Linux.SecurityContext.NamespaceOptions.UsernsOptions = &runtimeapi.UserNamespace{}
		}},
	} {
		config := proto.Clone(s.podConfig).(*runtimeapi.PodSandboxConfig)
		config.Metadata.Attempt = 9
		bad.change(config)
		_, err := s.runtime.RunPodSandbox(s.ctx, config, "")
		s.expectCode("RunPodSandbox with "+bad.name, bad.want, err)
	}
	pods, err := s.runtime.ListPodSandbox(s.ctx, nil)
	s.tap.check("refused sandboxes leave nothing", err, len(pods) == 1, "%v", pods)

	for _, bad := range []struct {
		name   string
		want   codes.Code
		change func(*runtimeapi.ContainerConfig)
	}{
		{"no image", codes.InvalidArgument, func(c *runtimeapi.ContainerConfig) { c.Image = nil }},
		{"an absolute log path", codes.InvalidArgument,
			func(c *runtimeapi.ContainerConfig) { c.LogPath = "/etc/passwd" }},
		{"a log path that goes up", codes.InvalidArgument,
			func(c *runtimeapi.ContainerConfig) { c.LogPath = "../../passwd" }},
		{"a relative working directory", codes.InvalidArgument,
			func(c *runtimeapi.ContainerConfig) { c.WorkingDir = "tmp" }},
		{"a relative mount", codes.InvalidArgument, func(c *runtimeapi.ContainerConfig) {
			c.Mounts = []*runtimeapi.Mount{{HostPath: "etc", ContainerPath: "/etc"}}
		}},
		{"an unknown stop signal", codes.InvalidArgument,
			func(c *runtimeapi.ContainerConfig) { c.StopSignal = 999 }},
		{"an image volume", codes.Unimplemented, func(c *runtimeapi.ContainerConfig) {
			c.Mounts = []*runtimeapi.Mount{{ContainerPath: "/i", Image: &runtimeapi.ImageSpec{Image: "x"}}}
		}},
		{"an image that is not there", codes.NotFound,
			func(c *runtimeapi.ContainerConfig) { c.Image.Image = strings.Repeat("0", 64) }},
	} {
		config := s.containerConfig("refused", "true")
		bad.change(config)
		_, err := s.runtime.CreateContainer(s.ctx, s.pod, config, s.podConfig)
		s.expectCode("CreateContainer with "+bad.name, bad.want, err)
	}
	containers, err := s.runtime.ListContainers(s.ctx, nil)
	s.tap.check("refused containers leave nothing", err, len(containers) == 1, "%v", containers)
}
