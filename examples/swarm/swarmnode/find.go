package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/moby/swarmkit/v2/api"
)

// find returns the one element that a name means: its name, its id, or the beginning
// of its id.
func find[T any](what, name string, all []T, names func(T) (id, name string)) (T, error) {
	var found []T
	for _, element := range all {
		id, n := names(element)
		if n == name || id == name {
			return element, nil
		}
		if strings.HasPrefix(id, name) {
			found = append(found, element)
		}
	}
	if len(found) == 1 {
		return found[0], nil
	}
	return *new(T), fmt.Errorf("%s %q: %d match", what, name, len(found))
}

func findService(ctx context.Context, control api.ControlClient, name string) (*api.Service, error) {
	r, err := control.ListServices(ctx, &api.ListServicesRequest{})
	if err != nil {
		return nil, err
	}
	return find("service", name, r.Services, func(s *api.Service) (string, string) { return s.ID, s.Spec.Annotations.Name })
}

// listNodes returns all nodes, by their names.
func listNodes(ctx context.Context, control api.ControlClient) ([]*api.Node, error) {
	r, err := control.ListNodes(ctx, &api.ListNodesRequest{})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(r.Nodes, func(a, b *api.Node) int {
		return strings.Compare(nodeName(a)+" "+a.ID, nodeName(b)+" "+b.ID)
	})
	return r.Nodes, nil
}

func nodeName(n *api.Node) string {
	if n.Description == nil {
		return "?"
	}
	return n.Description.Hostname
}

// nodeNames maps the ids of nodes to their names.
func nodeNames(ctx context.Context, control api.ControlClient) (map[string]string, error) {
	nodes, err := listNodes(ctx, control)
	names := make(map[string]string)
	for _, n := range nodes {
		names[n.ID] = nodeName(n)
	}
	return names, err
}
