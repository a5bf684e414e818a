package main

import (
	"context"
	"encoding/json"

	"github.com/moby/buildkit/client/llb"
	"github.com/pkg/errors"
)

// builder makes the states of one graph.
type builder struct {
	states   []llb.State
	runs     map[int]*run
	inputs   map[int]llb.CopyInput // file actions on a state; every other node is a state
	maps     []*llb.SourceMap
	resolved []resolveCall
}

// run keeps what the mounts of a finished run are read from.
type run struct {
	exec   llb.ExecState
	mounts map[string]llb.State
}

func (b *builder) state(i int) (llb.State, error) {
	if i < 0 || i >= len(b.states) {
		return llb.State{}, errors.Errorf("there is no node %d yet", i)
	}
	if _, ok := b.inputs[i]; ok {
		return llb.State{}, errors.Errorf("node %d is no state", i)
	}
	return b.states[i], nil
}

func (b *builder) stateList(nodes []int) ([]llb.State, error) {
	out := make([]llb.State, len(nodes))
	for i, n := range nodes {
		var err error
		if out[i], err = b.state(n); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// maker builds the state of one node. Its fields are the node's parameters.
type maker interface {
	make(b *builder, opts []llb.ConstraintsOpt) (llb.State, error)
}

var kinds = map[string]func() maker{
	"scratch":          func() maker { return &scratchNode{} },
	"image":            func() maker { return &imageNode{} },
	"image_blob":       func() maker { return &blobNode{} },
	"oci_layout_blob":  func() maker { return &blobNode{oci: true} },
	"oci_layout":       func() maker { return &layoutNode{} },
	"git":              func() maker { return &gitNode{} },
	"http":             func() maker { return &httpNode{} },
	"local":            func() maker { return &localNode{} },
	"source":           func() maker { return &sourceNode{} },
	"env":              func() maker { return &valueNode{} },
	"dir":              func() maker { return &valueNode{} },
	"user":             func() maker { return &valueNode{} },
	"hostname":         func() maker { return &valueNode{} },
	"network":          func() maker { return &valueNode{} },
	"security":         func() maker { return &valueNode{} },
	"cgroup_parent":    func() maker { return &valueNode{} },
	"platform":         func() maker { return &platformNode{} },
	"extra_host":       func() maker { return &hostNode{} },
	"ulimit":           func() maker { return &ulimitNode{} },
	"reset":            func() maker { return &resetNode{} },
	"requires":         func() maker { return &requiresNode{} },
	"image_config":     func() maker { return &imageConfigNode{} },
	"marshal_defaults": func() maker { return &defaultsNode{} },
	"async":            func() maker { return &asyncNode{} },
	"run":              func() maker { return &runNode{} },
	"mount":            func() maker { return &mountNode{} },
	"get_mount":        func() maker { return &mountNode{fresh: true} },
	"file":             func() maker { return &fileNode{} },
	"actions":          func() maker { return &fileNode{input: true} },
	"merge":            func() maker { return &mergeNode{} },
	"diff":             func() maker { return &diffNode{} },
	"passthrough":      func() maker { return &passthroughNode{} },
	"llb_build":        func() maker { return &buildNode{} },
	"definition":       func() maker { return &definitionNode{} },
}

// node is what every node may have. It is embedded, so that a node decodes in one go.
type node struct {
	Kind        string       `json:"kind"`
	Constraints *constraints `json:"constraints"`
}

func (n *node) common() *node { return n }

func (b *builder) add(data json.RawMessage) error {
	var n node
	if err := json.Unmarshal(data, &n); err != nil {
		return err
	}
	kind, ok := kinds[n.Kind]
	if !ok {
		return errors.Errorf("unknown kind %q", n.Kind)
	}
	m := kind()
	if err := strict(data, m); err != nil {
		return errors.Wrapf(err, "node %s", data)
	}
	opts, err := b.options(n.Constraints)
	if err != nil {
		return err
	}
	st, err := m.make(b, opts)
	if err != nil {
		return err
	}
	b.states = append(b.states, st)
	return nil
}

func build(g *graph) (llb.State, *builder, error) {
	b := &builder{runs: map[int]*run{}, inputs: map[int]llb.CopyInput{}}
	for _, m := range g.Maps {
		b.maps = append(b.maps, llb.NewSourceMap(nil, m.Filename, m.Language, []byte(m.Data)))
	}
	for _, data := range g.Nodes {
		if err := b.add(data); err != nil {
			return llb.State{}, b, err
		}
	}
	// The state of a map may be any node, so it is set once all are there.
	for i, m := range g.Maps {
		if m.State != nil {
			st, err := b.state(*m.State)
			if err != nil {
				return llb.State{}, b, err
			}
			b.maps[i].State = &st
		}
	}
	out := len(b.states) - 1
	if g.Out != nil {
		out = *g.Out
	}
	st, err := b.state(out)
	return st, b, err
}

func (g *graph) marshalOptions(b *builder) ([]llb.ConstraintsOpt, error) {
	opts, err := b.options(g.Marshal)
	if err != nil || g.Bare {
		return opts, err
	}
	return append([]llb.ConstraintsOpt{llb.LinuxAmd64, llb.LocalUniqueID("uid0")}, opts...), nil
}

func marshal(ctx context.Context, g *graph) (*llb.Definition, llb.State, *builder, error) {
	st, b, err := build(g)
	if err != nil {
		return nil, st, b, err
	}
	opts, err := g.marshalOptions(b)
	if err != nil {
		return nil, st, b, err
	}
	def, err := st.Marshal(ctx, opts...)
	return def, st, b, err
}
