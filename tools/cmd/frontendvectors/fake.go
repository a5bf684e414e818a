package main

import (
	"context"
	"errors"
	"os"

	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/frontend/gateway/client"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/pb"
	digest "github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
)

const imageConfig = `{"architecture":"arm64","os":"linux","config":{"Env":["PATH=/bin","A=1"],"WorkingDir":"/srv"}}`

const imageDigest = digest.Digest("sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")

// fakeClient is a gateway without a daemon; every reference holds the case's files.
type fakeClient struct {
	client.Client
	*testCase
	solves []*graph
	asked  []*sourceQuestion
}

type sourceQuestion struct {
	Identifier string            `json:"identifier"`
	Attrs      map[string]string `json:"attrs,omitempty"`
	LogName    string            `json:"log_name,omitempty"`
}

func (f *fakeClient) BuildOpts() client.BuildOpts {
	opts := map[string]string{}
	for k, v := range f.Options {
		opts[k] = v
	}
	return client.BuildOpts{
		Opts:      opts,
		SessionID: "session1",
		Workers:   []client.WorkerInfo{{ID: "worker1", Platforms: []ocispecs.Platform{{OS: "linux", Architecture: "amd64"}}}},
		LLBCaps:   pb.Caps.CapSet(pb.Caps.All()),
		Caps:      gwpb.Caps.CapSet(gwpb.Caps.All()),
	}
}

func (f *fakeClient) Solve(_ context.Context, req client.SolveRequest) (*client.Result, error) {
	f.solves = append(f.solves, summarize(req.Definition))
	res := client.NewResult()
	res.SetRef(&fakeRef{files: f.Files})
	return res, nil
}

func (f *fakeClient) Inputs(ctx context.Context) (map[string]llb.State, error) {
	found := map[string]llb.State{}
	for _, name := range f.testCase.Inputs {
		found[name] = llb.Scratch().File(llb.Mkfile("/"+name, 0o644, nil))
	}
	return found, nil
}

func (f *fakeClient) ResolveSourceMetadata(_ context.Context, op *pb.SourceOp, opt sourceresolver.Opt) (*sourceresolver.MetaResponse, error) {
	f.asked = append(f.asked, &sourceQuestion{op.Identifier, op.Attrs, opt.LogName})
	return &sourceresolver.MetaResponse{
		Op:    op,
		Image: &sourceresolver.ResolveImageResponse{Digest: imageDigest, Config: []byte(imageConfig)},
	}, nil
}

func (f *fakeClient) ResolveImageConfig(ctx context.Context, ref string, opt sourceresolver.Opt) (string, digest.Digest, []byte, error) {
	return sourceresolver.NewImageMetaResolver(f).ResolveImageConfig(ctx, ref, opt)
}

func (f *fakeClient) Warn(context.Context, digest.Digest, string, client.WarnOpts) error { return nil }

type fakeRef struct {
	client.Reference
	files map[string]string
}

func (r *fakeRef) ReadFile(_ context.Context, req client.ReadRequest) ([]byte, error) {
	data, ok := r.files[req.Filename]
	if !ok {
		return nil, errors.Join(os.ErrNotExist)
	}
	return []byte(data), nil
}

// summarize takes a definition apart. Names are those that displays show, of the ops that have one.
func summarize(def *pb.Definition) *graph {
	g := &graph{}
	for _, dt := range def.Def {
		g.Ops = append(g.Ops, dt)
		if name := def.Metadata[string(digest.FromBytes(dt))].GetDescription()["llb.customname"]; name != "" {
			g.Names = append(g.Names, name)
		}
	}
	return g
}
