package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"

	"github.com/containerd/platforms"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/solver/pb"
	digest "github.com/opencontainers/go-digest"
	"github.com/pkg/errors"
	"google.golang.org/protobuf/proto"
)

type summary struct {
	Name             string                    `json:"name,omitempty"`
	Rows             []string                  `json:"rows,omitempty"`
	Error            string                    `json:"error,omitempty"`
	DefHex           []string                  `json:"def_hex,omitempty"`
	Digests          []digest.Digest           `json:"digests,omitempty"`
	Metadata         map[string]*pb.OpMetadata `json:"metadata,omitempty"`
	Source           *pb.Source                `json:"source,omitempty"`
	Head             digest.Digest             `json:"head,omitempty"`
	DefinitionSHA256 digest.Digest             `json:"definition_sha256,omitempty"`
	State            *values                   `json:"state,omitempty"`
	Resolved         []resolveCall             `json:"resolved,omitempty"`
	Dump             []json.RawMessage         `json:"dump,omitempty"`
}

// values is what a state answers when it is asked.
type values struct {
	Env      []string `json:"env"`
	Dir      string   `json:"dir"`
	Args     []string `json:"args,omitempty"`
	Hostname string   `json:"hostname,omitempty"`
	Platform string   `json:"platform,omitempty"`
	Network  string   `json:"network"`
	Security string   `json:"security"`
}

// summarize never fails: an error, a panic too, is a summary.
func summarize(ctx context.Context, line []byte) (s *summary) {
	s = &summary{}
	defer func() {
		if p := recover(); p != nil {
			*s = summary{Name: s.Name, Rows: s.Rows, Error: errors.Errorf("panic: %v", p).Error()}
		}
	}()
	var g graph
	if err := strict(line, &g); err != nil {
		s.Error = "description: " + err.Error()
		return s
	}
	s.Name, s.Rows = g.Name, g.Rows
	if err := s.fill(ctx, &g); err != nil {
		s.Error = err.Error()
	}
	return s
}

func (s *summary) fill(ctx context.Context, g *graph) error {
	def, st, b, err := marshal(ctx, g)
	s.Resolved = b.resolved
	if err != nil {
		return err
	}
	p := def.ToPB()
	dt, err := proto.MarshalOptions{Deterministic: true}.Marshal(p)
	if err != nil {
		return err
	}
	s.DefinitionSHA256 = digest.FromBytes(dt)
	s.Metadata, s.Source = p.Metadata, p.Source
	for _, op := range def.Def {
		s.DefHex = append(s.DefHex, hex.EncodeToString(op))
		s.Digests = append(s.Digests, digest.FromBytes(op))
	}
	if s.Head, err = def.Head(); err != nil {
		return err
	}
	if g.Probe {
		if s.State, err = probe(ctx, g, b, st); err != nil {
			return err
		}
	}
	if g.Dump {
		s.Dump, err = dump(def)
	}
	return err
}

func probe(ctx context.Context, g *graph, b *builder, st llb.State) (*values, error) {
	opts, err := g.marshalOptions(b)
	if err != nil {
		return nil, err
	}
	env, err := st.Env(ctx, opts...)
	if err != nil {
		return nil, err
	}
	v := &values{Env: env.ToArray()}
	if v.Dir, err = st.GetDir(ctx, opts...); err != nil {
		return nil, err
	}
	if v.Args, err = st.GetArgs(ctx, opts...); err != nil {
		return nil, err
	}
	if v.Hostname, err = st.GetHostname(ctx, opts...); err != nil {
		return nil, err
	}
	p, err := st.GetPlatform(ctx, opts...)
	if err != nil {
		return nil, err
	}
	if p != nil {
		v.Platform = platforms.FormatAll(*p)
	}
	network, err := st.GetNetwork(ctx, opts...)
	if err != nil {
		return nil, err
	}
	security, err := st.GetSecurity(ctx, opts...)
	if err != nil {
		return nil, err
	}
	v.Network, v.Security = network.String(), security.String()
	return v, nil
}

// dump gives the lines of `buildctl debug dump-llb`, which marshals a struct of these three fields.
func dump(def *llb.Definition) (out []json.RawMessage, err error) {
	for _, dt := range def.Def {
		var op pb.Op
		if err := op.UnmarshalVT(dt); err != nil {
			return nil, err
		}
		dgst := digest.FromBytes(dt)
		var line bytes.Buffer
		if err := json.NewEncoder(&line).Encode(struct {
			Op         *pb.Op
			Digest     digest.Digest
			OpMetadata *pb.OpMetadata
		}{&op, dgst, def.Metadata[dgst].ToPB()}); err != nil {
			return nil, err
		}
		out = append(out, bytes.TrimSpace(line.Bytes()))
	}
	return out, nil
}
