package main

import (
	"context"

	"github.com/containerd/platforms"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/frontend/dockerui"
	"github.com/moby/buildkit/solver/pb"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
)

// row is a case and what Go makes of it.
type row struct {
	*testCase
	Error  string            `json:"error,omitempty"`
	Values *values           `json:"values,omitempty"`
	Main   *file             `json:"main,omitempty"`
	Tree   *graph            `json:"tree,omitempty"`
	Named  map[string]*graph `json:"named,omitempty"`
	Solves []*graph          `json:"solves,omitempty"`
	Asked  []*sourceQuestion `json:"asked,omitempty"`
}

// values are the options, read.
type values struct {
	Target    string             `json:"target"`
	Platforms []string           `json:"platforms"`
	Own       string             `json:"own"`
	Multi     bool               `json:"multi"`
	BuildArgs map[string]string  `json:"build_args"`
	Labels    map[string]string  `json:"labels"`
	Resolve   string             `json:"resolve"`
	Network   string             `json:"network"`
	Hostname  string             `json:"hostname"`
	Hosts     [][2]string        `json:"hosts"`
	ShmSize   int64              `json:"shm_size"`
	Ulimits   []*pb.Ulimit       `json:"ulimits"`
	Resources *pb.LinuxResources `json:"resources"`
	Cgroup    string             `json:"cgroup"`
	Imports   []cacheImport      `json:"imports"`
	NoCacheA  bool               `json:"no_cache_a"`
	NoCacheB  bool               `json:"no_cache_b"`
}

type cacheImport struct {
	Type  string            `json:"type"`
	Attrs map[string]string `json:"attrs"`
}

// file is the main file, as it was read.
type file struct {
	Name string `json:"name,omitempty"`
	Data string `json:"data,omitempty"`
	Err  string `json:"error,omitempty"`
}

// graph is a definition: its ops in protobuf's order, and the names that displays show.
type graph struct {
	Error string   `json:"error,omitempty"`
	Ops   [][]byte `json:"ops,omitempty"`
	Names []string `json:"names,omitempty"`
}

func (c *testCase) run(ctx context.Context) *row {
	r := &row{testCase: c}
	fake := &fakeClient{testCase: c}
	bc, err := dockerui.NewClient(fake)
	if err != nil {
		r.Error = err.Error()
		return r
	}
	r.Values = readValues(bc)
	src, err := bc.ReadEntrypoint(ctx, "YAML")
	if err != nil {
		r.Main = &file{Err: err.Error()}
	} else {
		r.Main = &file{Name: src.Filename, Data: string(src.Data)}
	}
	st, err := bc.MainContext(ctx)
	r.Tree = marshal(ctx, st, err)
	for _, name := range c.Names {
		p, err := platforms.Parse("linux/arm64")
		if err != nil {
			panic(err)
		}
		if r.Named == nil {
			r.Named = map[string]*graph{}
		}
		r.Named[name] = load(ctx, bc, name, &p)
	}
	r.Solves, r.Asked = fake.solves, fake.asked
	return r
}

func load(ctx context.Context, bc *dockerui.Client, name string, p *ocispecs.Platform) *graph {
	nc, err := bc.NamedContext(name, dockerui.ContextOpt{Platform: p, ResolveMode: bc.ImageResolveMode.String()})
	if err != nil {
		return &graph{Error: err.Error()}
	}
	if nc == nil {
		return nil
	}
	st, _, err := nc.Load(ctx)
	return marshal(ctx, st, err)
}

func marshal(ctx context.Context, st *llb.State, err error) *graph {
	if err != nil {
		return &graph{Error: err.Error()}
	}
	def, err := st.Marshal(ctx, llb.LinuxAmd64)
	if err != nil {
		return &graph{Error: err.Error()}
	}
	return summarize(def.ToPB())
}

func readValues(bc *dockerui.Client) *values {
	v := &values{
		Target: bc.Target, Multi: bc.MultiPlatformRequested, BuildArgs: bc.BuildArgs, Labels: bc.Labels,
		Own: platforms.FormatAll(bc.BuildPlatforms[0]), Resolve: bc.ImageResolveMode.String(), Network: bc.NetworkMode.String(), Hostname: bc.Hostname,
		ShmSize: bc.ShmSize, Ulimits: bc.Ulimits, Resources: bc.LinuxResources, Cgroup: bc.CgroupParent,
		NoCacheA: bc.IsNoCache("a"), NoCacheB: bc.IsNoCache("B"),
	}
	for _, p := range bc.TargetPlatforms {
		v.Platforms = append(v.Platforms, platforms.FormatAll(p))
	}
	for _, h := range bc.ExtraHosts {
		v.Hosts = append(v.Hosts, [2]string{h.Host, h.IP.String()})
	}
	for _, im := range bc.CacheImports {
		v.Imports = append(v.Imports, cacheImport{im.Type, im.Attrs})
	}
	return v
}
