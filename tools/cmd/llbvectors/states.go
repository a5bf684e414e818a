package main

import (
	"context"
	"encoding/json"
	"net"

	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/client/llb/llbbuild"
	"github.com/moby/buildkit/solver/pb"
	"github.com/pkg/errors"
)

var netModes = map[string]pb.NetMode{
	"sandbox": llb.NetModeSandbox, "host": llb.NetModeHost, "none": llb.NetModeNone,
}

var securityModes = map[string]pb.SecurityMode{
	"sandbox": llb.SecurityModeSandbox, "insecure": llb.SecurityModeInsecure,
}

func mode[T any](modes map[string]T, name string) (T, error) {
	m, ok := modes[name]
	if !ok {
		return m, errors.Errorf("unknown mode %q", name)
	}
	return m, nil
}

// valueNode sets one value of a state; its kind says which.
type valueNode struct {
	node
	On    int    `json:"on"`
	Name  string `json:"name"`
	Value string `json:"value"`
}

func (n *valueNode) make(b *builder, _ []llb.ConstraintsOpt) (llb.State, error) {
	st, err := b.state(n.On)
	if err != nil {
		return st, err
	}
	option, err := valueOption(n.Kind, n.Name, n.Value)
	if err != nil {
		return st, err
	}
	return st.With(option), nil
}

// valueOption serves both the states and the runs, where the same values hold for one op only.
func valueOption(kind, name, value string) (llb.StateOption, error) {
	switch kind {
	case "env":
		return llb.AddEnv(name, value), nil
	case "dir":
		return llb.Dir(value), nil
	case "user":
		return llb.User(value), nil
	case "hostname":
		return llb.Hostname(value), nil
	case "cgroup_parent":
		return func(st llb.State) llb.State { return st.WithCgroupParent(value) }, nil
	case "network":
		m, err := mode(netModes, value)
		return llb.Network(m), err
	case "security":
		m, err := mode(securityModes, value)
		return llb.Security(m), err
	}
	return nil, errors.Errorf("unknown value %q", kind)
}

type platformNode struct {
	node
	On       int      `json:"on"`
	Platform platform `json:"platform"`
}

func (n *platformNode) make(b *builder, _ []llb.ConstraintsOpt) (llb.State, error) {
	st, err := b.state(n.On)
	return st.Platform(n.Platform.spec()), err
}

type hostNode struct {
	node
	On   int    `json:"on"`
	Host string `json:"host"`
	IP   string `json:"ip"`
}

func (n *hostNode) make(b *builder, _ []llb.ConstraintsOpt) (llb.State, error) {
	st, err := b.state(n.On)
	return st.AddExtraHost(n.Host, net.ParseIP(n.IP)), err
}

type ulimitNode struct {
	node
	On   int    `json:"on"`
	Name string `json:"name"`
	Soft int64  `json:"soft"`
	Hard int64  `json:"hard"`
}

func (n *ulimitNode) make(b *builder, _ []llb.ConstraintsOpt) (llb.State, error) {
	st, err := b.state(n.On)
	return st.AddUlimit(llb.UlimitName(n.Name), n.Soft, n.Hard), err
}

type resetNode struct {
	node
	On    int `json:"on"`
	Other int `json:"other"`
}

func (n *resetNode) make(b *builder, _ []llb.ConstraintsOpt) (llb.State, error) {
	st, err := b.state(n.On)
	if err != nil {
		return st, err
	}
	other, err := b.state(n.Other)
	return st.Reset(other), err
}

type requiresNode struct {
	node
	On   int    `json:"on"`
	ID   string `json:"id"`
	Deps []int  `json:"deps"`
}

func (n *requiresNode) make(b *builder, _ []llb.ConstraintsOpt) (llb.State, error) {
	st, err := b.state(n.On)
	if err != nil {
		return st, err
	}
	deps, err := b.stateList(n.Deps)
	return st.Requires(n.ID, deps...), err
}

type imageConfigNode struct {
	node
	On     int             `json:"on"`
	Config json.RawMessage `json:"config"`
}

func (n *imageConfigNode) make(b *builder, _ []llb.ConstraintsOpt) (llb.State, error) {
	st, err := b.state(n.On)
	if err != nil {
		return st, err
	}
	return st.WithImageConfig(n.Config)
}

type defaultsNode struct {
	node
	On int `json:"on"`
}

func (n *defaultsNode) make(b *builder, opts []llb.ConstraintsOpt) (llb.State, error) {
	st, err := b.state(n.On)
	return st.SetMarshalDefaults(opts...), err
}

type asyncNode struct {
	node
	On    int    `json:"on"`
	To    int    `json:"to"`
	Error string `json:"error"`
}

func (n *asyncNode) make(b *builder, _ []llb.ConstraintsOpt) (llb.State, error) {
	st, err := b.state(n.On)
	if err != nil {
		return st, err
	}
	to, err := b.state(n.To)
	if err != nil {
		return st, err
	}
	return st.Async(func(context.Context, llb.State, *llb.Constraints) (llb.State, error) {
		if n.Error != "" {
			return llb.State{}, errors.New(n.Error)
		}
		return to, nil
	}), nil
}

type mergeNode struct {
	node
	Inputs []int `json:"inputs"`
}

func (n *mergeNode) make(b *builder, opts []llb.ConstraintsOpt) (llb.State, error) {
	inputs, err := b.stateList(n.Inputs)
	if err != nil {
		return llb.State{}, err
	}
	return llb.Merge(inputs, opts...), nil
}

type diffNode struct {
	node
	Lower int `json:"lower"`
	Upper int `json:"upper"`
}

func (n *diffNode) make(b *builder, opts []llb.ConstraintsOpt) (llb.State, error) {
	lower, err := b.state(n.Lower)
	if err != nil {
		return lower, err
	}
	upper, err := b.state(n.Upper)
	if err != nil {
		return upper, err
	}
	return llb.Diff(lower, upper, opts...), nil
}

type passthroughNode struct {
	node
	ID     string             `json:"id"`
	Inputs []passthroughInput `json:"inputs"`
	Index  int                `json:"index"`
}

type passthroughInput struct {
	State  int
	Output bool
}

func (p *passthroughInput) UnmarshalJSON(data []byte) error {
	return tuple(data, &p.State, &p.Output)
}

func (n *passthroughNode) make(b *builder, opts []llb.ConstraintsOpt) (llb.State, error) {
	inputs := make([]llb.PassthroughInput, len(n.Inputs))
	for i, in := range n.Inputs {
		st, err := b.state(in.State)
		if err != nil {
			return st, err
		}
		inputs[i] = llb.PassthroughInput{State: st, Output: in.Output}
	}
	if n.Index == 0 {
		return llb.NewPassthrough(n.ID, inputs, opts...), nil
	}
	return llb.NewState(llb.NewPassthroughOp(n.ID, inputs, opts...).OutputAt(n.Index)), nil
}

type buildNode struct {
	node
	On       int    `json:"on"`
	Filename string `json:"filename"`
}

func (n *buildNode) make(b *builder, opts []llb.ConstraintsOpt) (llb.State, error) {
	st, err := b.state(n.On)
	if err != nil {
		return st, err
	}
	var o []llbbuild.BuildOption
	if n.Filename != "" {
		o = append(o, llbbuild.WithFilename(n.Filename))
	}
	for _, c := range opts {
		o = append(o, llbbuild.WithConstraints(c))
	}
	return st.With(llbbuild.Build(o...)), nil
}
