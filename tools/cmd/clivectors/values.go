package main

import (
	"time"

	controlapi "github.com/moby/buildkit/api/services/control"
	apitypes "github.com/moby/buildkit/api/types"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/solver/pb"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

var (
	created = time.Unix(1700000000, 123456789).UTC()
	used    = time.Unix(1700000100, 500000000).UTC()
)

// usageMessage is what a daemon answers; usage is what the client makes of it.
func usageMessage() *controlapi.DiskUsageResponse {
	return &controlapi.DiskUsageResponse{Record: []*controlapi.UsageRecord{
		{ID: "first", Size: 0, CreatedAt: timestamppb.New(created)},
		{
			ID: "second", Mutable: true, InUse: true, Size: 1234567, CreatedAt: timestamppb.New(created),
			LastUsedAt: timestamppb.New(used), UsageCount: 3, Description: "a <b> & \"c\"\u2028é", RecordType: "regular",
			Shared: true, Parents: []string{"p", "q"},
		},
	}}
}

func usage() []*client.UsageInfo {
	var out []*client.UsageInfo
	for _, d := range usageMessage().Record {
		info := &client.UsageInfo{
			ID: d.ID, Mutable: d.Mutable, InUse: d.InUse, Size: d.Size, Parents: d.Parents, CreatedAt: d.CreatedAt.AsTime(),
			Description: d.Description, UsageCount: int(d.UsageCount), RecordType: client.UsageRecordType(d.RecordType),
			Shared: d.Shared,
		}
		if d.LastUsedAt != nil {
			t := d.LastUsedAt.AsTime()
			info.LastUsedAt = &t
		}
		out = append(out, info)
	}
	return out
}

func infoMessage() *controlapi.InfoResponse {
	return &controlapi.InfoResponse{BuildkitVersion: &apitypes.BuildkitVersion{
		Package: "github.com/moby/buildkit", Version: "v1.2.3", Revision: "abc",
	}}
}

func info() *client.Info {
	v := infoMessage().BuildkitVersion
	return &client.Info{BuildkitVersion: client.BuildkitVersion{Package: v.Package, Version: v.Version, Revision: v.Revision}}
}

func workersMessage() *controlapi.ListWorkersResponse {
	return &controlapi.ListWorkersResponse{Record: []*apitypes.WorkerRecord{{
		ID: "w", Labels: map[string]string{"b": "2", "a": "1"},
		Platforms:       []*pb.Platform{{OS: "linux", Architecture: "amd64"}, {OS: "linux", Architecture: "arm", Variant: "v7"}},
		GCPolicy:        []*apitypes.GCPolicy{{All: true, KeepDuration: int64(48 * time.Hour), Filters: []string{"x", "y"}, ReservedSpace: 5}},
		BuildkitVersion: infoMessage().BuildkitVersion,
		CDIDevices:      []*apitypes.CDIDevice{{Name: "gpu", AutoAllow: true, Annotations: map[string]string{"k": "v"}}},
	}, {ID: "bare"}}}
}

func workers() []*client.WorkerInfo {
	return []*client.WorkerInfo{{
		ID: "w", Labels: map[string]string{"b": "2", "a": "1"},
		Platforms:       []ocispecs.Platform{{OS: "linux", Architecture: "amd64"}, {OS: "linux", Architecture: "arm", Variant: "v7"}},
		GCPolicy:        []client.PruneInfo{{All: true, KeepDuration: 48 * time.Hour, Filter: []string{"x", "y"}, ReservedSpace: 5}},
		BuildkitVersion: info().BuildkitVersion,
		CDIDevices:      []client.CDIDevice{{Name: "gpu", AutoAllow: true, Annotations: map[string]string{"k": "v"}}},
	}, {ID: "bare", Platforms: []ocispecs.Platform{}, GCPolicy: []client.PruneInfo{}}}
}

func event() *controlapi.BuildHistoryEvent {
	descriptor := &controlapi.Descriptor{MediaType: "m", Digest: "sha256:1", Size: 7}
	return &controlapi.BuildHistoryEvent{Type: controlapi.BuildHistoryEventType_COMPLETE, Record: &controlapi.BuildHistoryRecord{
		Ref: "r", Frontend: "dockerfile.v0", FrontendAttrs: map[string]string{"target": "t", "a": "b"},
		Exporters:        []*controlapi.Exporter{{Type: "image", Attrs: map[string]string{"name": "n"}}, {Type: "local"}},
		Error:            &status.Status{Code: 5, Message: "boom"},
		CreatedAt:        timestamppb.New(created),
		CompletedAt:      timestamppb.New(time.Unix(1700000100, 0)),
		Logs:             descriptor,
		ExporterResponse: map[string]string{"k": "v"},
		Result: &controlapi.BuildResultInfo{
			ResultDeprecated: descriptor,
			Results:          map[int64]*controlapi.Descriptor{0: descriptor, 3: {Digest: "sha256:2"}},
			Attestations:     []*controlapi.Descriptor{{MediaType: "x", Annotations: map[string]string{"p": "q"}}},
		},
		Results:    map[string]*controlapi.BuildResultInfo{"linux/arm64": {Attestations: []*controlapi.Descriptor{{Size: 1}}}},
		Generation: 2, Pinned: true, NumCachedSteps: 1, NumTotalSteps: 3, NumCompletedSteps: 2, NumWarnings: 4,
	}}
}

// messages are the values as the daemon sends them.
func messages() map[string][]byte {
	out := map[string][]byte{}
	for name, message := range map[string]proto.Message{
		"usage": usageMessage(), "info": infoMessage(), "workers": workersMessage(), "event": event(),
		"started": &controlapi.BuildHistoryEvent{Record: &controlapi.BuildHistoryRecord{Ref: "s"}},
	} {
		dt, err := proto.MarshalOptions{Deterministic: true}.Marshal(message)
		if err != nil {
			panic(err)
		}
		out[name] = dt
	}
	return out
}
