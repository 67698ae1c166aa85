package main

import (
	"google.golang.org/grpc/codes"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// unbuilt asks for what comes later: each of them says so, and changes nothing. Lists by stream are asked for
// by their plain names here; the library chooses.
func (s *session) unbuilt() {
	ctx, pod, container := s.ctx, s.pod, s.container
	for _, method := range []struct {
		name string
		call func() error
	}{
		{"ContainerStats", func() error {
			_, err := s.runtime.ContainerStats(ctx, container)
			return err
		}},
		{"ListContainerStats", func() error {
			_, err := s.runtime.ListContainerStats(ctx, nil)
			return err
		}},
		{"PodSandboxStats", func() error {
			_, err := s.runtime.PodSandboxStats(ctx, pod)
			return err
		}},
		{"ListPodSandboxStats", func() error {
			_, err := s.runtime.ListPodSandboxStats(ctx, nil)
			return err
		}},
		{"ListMetricDescriptors", func() error {
			_, err := s.runtime.ListMetricDescriptors(ctx)
			return err
		}},
		{"ListPodSandboxMetrics", func() error {
			_, err := s.runtime.ListPodSandboxMetrics(ctx)
			return err
		}},
		{"CheckpointContainer", func() error {
			return s.runtime.CheckpointContainer(ctx, &runtimeapi.CheckpointContainerRequest{
				ContainerId: container, Location: "/tmp/checkpoint.tar",
			})
		}},
		{"CheckpointPod", func() error {
			return s.runtime.CheckpointPod(ctx, &runtimeapi.CheckpointPodRequest{PodSandboxId: pod})
		}},
		{"RestorePod", func() error {
			_, err := s.runtime.RestorePod(ctx, &runtimeapi.RestorePodRequest{})
			return err
		}},
	} {
		s.expectCode(method.name, codes.Unimplemented, method.call())
	}
	s.expectState("running", runtimeapi.ContainerState_CONTAINER_RUNNING)
}
