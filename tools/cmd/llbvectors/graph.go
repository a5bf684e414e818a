package main

import (
	"bytes"
	"encoding/json"

	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/util/apicaps"
	apicapspb "github.com/moby/buildkit/util/apicaps/pb"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/pkg/errors"
)

type graph struct {
	Name    string            `json:"name"`
	Rows    []string          `json:"rows"`
	Note    string            `json:"note"`
	Refused string            `json:"refused"`
	Differs string            `json:"differs"`
	Nodes   []json.RawMessage `json:"nodes"`
	Out     *int              `json:"out"`
	Maps    []sourceMap       `json:"maps"`
	Marshal *constraints      `json:"marshal"`
	Bare    bool              `json:"bare"`
	Probe   bool              `json:"probe"`
	Dump    bool              `json:"dump"`
}

type sourceMap struct {
	Filename string `json:"filename"`
	Language string `json:"language"`
	Data     string `json:"data"`
	State    *int   `json:"state"`
}

type platform struct {
	OS           string   `json:"os"`
	Architecture string   `json:"architecture"`
	Variant      string   `json:"variant"`
	OSVersion    string   `json:"os_version"`
	OSFeatures   []string `json:"os_features"`
}

func (p platform) spec() ocispecs.Platform {
	return ocispecs.Platform{
		OS: p.OS, Architecture: p.Architecture, Variant: p.Variant, OSVersion: p.OSVersion, OSFeatures: p.OSFeatures,
	}
}

type constraints struct {
	Platform      *platform         `json:"platform"`
	IgnoreCache   bool              `json:"ignore_cache"`
	Description   map[string]string `json:"description"`
	Name          *string           `json:"name"`
	ExportCache   any               `json:"export_cache"`
	ProgressGroup *progressGroup    `json:"progress_group"`
	Resources     *resources        `json:"resources"`
	Require       []string          `json:"require"`
	Unique        *string           `json:"unique"`
	Caps          *[]string         `json:"caps"`
	Locations     []location        `json:"locations"`
}

type progressGroup struct {
	ID, Name string
	Weak     bool
}

func (p *progressGroup) UnmarshalJSON(data []byte) error {
	return tuple(data, &p.ID, &p.Name, &p.Weak)
}

type resources struct {
	Memory     *int64  `json:"memory"`
	MemorySwap *int64  `json:"memory_swap"`
	CPUShares  *uint64 `json:"cpu_shares"`
	CPUPeriod  *uint64 `json:"cpu_period"`
	CPUQuota   *int64  `json:"cpu_quota"`
	CpusetCpus *string `json:"cpuset_cpus"`
	CpusetMems *string `json:"cpuset_mems"`
}

type location struct {
	Map    int        `json:"map"`
	Ranges [][4]int32 `json:"ranges"`
}

// strict decodes JSON and refuses unknown names: a misspelt option must not pass for an absent one.
func strict(data []byte, into any) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	return dec.Decode(into)
}

// tuple decodes a JSON list into as many places; missing ones at the end keep their value.
func tuple(data []byte, into ...any) error {
	var items []json.RawMessage
	if err := json.Unmarshal(data, &items); err != nil {
		return err
	}
	if len(items) > len(into) {
		return errors.Errorf("%s has more than %d items", data, len(into))
	}
	for i, item := range items {
		if err := json.Unmarshal(item, into[i]); err != nil {
			return err
		}
	}
	return nil
}

// options turns constraints into llb's options. The order is fixed; every option sets a field of its own.
func (b *builder) options(c *constraints) ([]llb.ConstraintsOpt, error) {
	if c == nil {
		return nil, nil
	}
	var out []llb.ConstraintsOpt
	if c.Platform != nil {
		out = append(out, llb.Platform(c.Platform.spec()))
	}
	if c.IgnoreCache {
		out = append(out, llb.IgnoreCache)
	}
	if c.Description != nil {
		out = append(out, llb.WithDescription(c.Description))
	}
	if c.Name != nil {
		out = append(out, llb.WithCustomName(*c.Name))
	}
	switch c.ExportCache {
	case nil:
	case true:
		out = append(out, llb.WithExportCache())
	case false:
		out = append(out, llb.WithoutExportCache())
	case "default":
		out = append(out, llb.WithExportCache(), llb.WithoutDefaultExportCache())
	default:
		return nil, errors.Errorf("export_cache %v is neither true, false nor \"default\"", c.ExportCache)
	}
	if p := c.ProgressGroup; p != nil {
		out = append(out, llb.ProgressGroup(p.ID, p.Name, p.Weak))
	}
	out = append(out, c.Resources.options()...)
	if c.Require != nil {
		out = append(out, llb.Require(c.Require...))
	}
	if c.Unique != nil {
		out = append(out, llb.LocalUniqueID(*c.Unique))
	}
	if c.Caps != nil {
		out = append(out, llb.WithCaps(capSet(*c.Caps)))
	}
	for _, l := range c.Locations {
		if l.Map < 0 || l.Map >= len(b.maps) {
			return nil, errors.Errorf("there is no source map %d", l.Map)
		}
		ranges := make([]*pb.Range, len(l.Ranges))
		for i, r := range l.Ranges {
			ranges[i] = &pb.Range{
				Start: &pb.Position{Line: r[0], Character: r[1]},
				End:   &pb.Position{Line: r[2], Character: r[3]},
			}
		}
		out = append(out, b.maps[l.Map].Location(ranges))
	}
	return out, nil
}

func (r *resources) options() (out []llb.ConstraintsOpt) {
	if r == nil {
		return nil
	}
	if *r == (resources{}) {
		return []llb.ConstraintsOpt{llb.WithLinuxResources(llb.LinuxResources{})}
	}
	if r.Memory != nil {
		out = append(out, llb.MemoryLimit(*r.Memory))
	}
	if r.MemorySwap != nil {
		out = append(out, llb.MemorySwapLimit(*r.MemorySwap))
	}
	if r.CPUShares != nil {
		out = append(out, llb.CPUShares(*r.CPUShares))
	}
	if r.CPUPeriod != nil {
		out = append(out, llb.CPUPeriod(*r.CPUPeriod))
	}
	if r.CPUQuota != nil {
		out = append(out, llb.CPUQuota(*r.CPUQuota))
	}
	if r.CpusetCpus != nil {
		out = append(out, llb.CpusetCpus(*r.CpusetCpus))
	}
	if r.CpusetMems != nil {
		out = append(out, llb.CpusetMems(*r.CpusetMems))
	}
	return out
}

func capSet(ids []string) apicaps.CapSet {
	caps := make([]*apicapspb.APICap, len(ids))
	for i, id := range ids {
		caps[i] = &apicapspb.APICap{ID: id, Enabled: true}
	}
	return pb.Caps.CapSet(caps)
}

// each converts options to the interface a constructor wants; a constraint is an option of every one of them.
func each[T any](opts []llb.ConstraintsOpt) []T {
	out := make([]T, len(opts))
	for i, o := range opts {
		out[i] = any(o).(T)
	}
	return out
}
