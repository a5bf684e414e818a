package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"

	"github.com/containerd/typeurl/v2"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/errdefs"
	"github.com/moby/buildkit/solver/pb"
	spb "github.com/moby/buildkit/sourcepolicy/pb"
	"github.com/moby/buildkit/sourcepolicy/policysession"
	"github.com/moby/buildkit/util/stack"
	rpc "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

// statusCase is an encoded google.rpc.Status, and what Go reads from it.
type statusCase struct {
	Status  string           `json:"status"` // base64
	Code    int32            `json:"code"`
	Message string           `json:"message"`
	Details []map[string]any `json:"details"` // the Go struct's own fields, by the name of its type
	Stacks  string           `json:"stacks"`  // what the tools print of all stacks with --debug
}

func statusCases() any {
	rng := rand.New(rand.NewPCG(9, 10))
	out := []statusCase{oneStatus(0, "", nil), oneStatus(2, "plain", nil)}
	for len(out) < 1000 {
		var details []proto.Message
		for range rng.IntN(6) {
			details = append(details, oneDetail(rng))
		}
		out = append(out, oneStatus(int32(rng.IntN(17)), text(rng), details))
	}
	return out
}

func text(rng *rand.Rand) string {
	return []string{"", "failed", "é <&> \u2028", "a\nb", `q"uote`}[rng.IntN(5)]
}

func texts(rng *rand.Rand) []string {
	var out []string
	for range rng.IntN(4) {
		out = append(out, text(rng))
	}
	return out
}

func oneDetail(rng *rand.Rand) proto.Message {
	switch rng.IntN(13) {
	case 0:
		return &errdefs.Vertex{Digest: "sha256:" + text(rng)}
	case 1:
		return &errdefs.Source{
			Info:   &pb.SourceInfo{Filename: text(rng), Data: []byte(text(rng)), Language: text(rng), Definition: &pb.Definition{Def: [][]byte{{1, 2}, {3}}}},
			Ranges: []*pb.Range{{Start: &pb.Position{Line: 1, Character: 2}, End: &pb.Position{Line: int32(rng.IntN(9))}}},
		}
	case 2:
		return &errdefs.Frontend{Name: text(rng), Source: text(rng)}
	case 3:
		return &errdefs.FrontendCap{Name: text(rng)}
	case 4:
		return &errdefs.Subrequest{Name: text(rng)}
	case 5:
		return &errdefs.Solve{
			InputIDs: texts(rng), MountIDs: texts(rng),
			Op:          &pb.Op{Op: &pb.Op_Exec{Exec: &pb.ExecOp{Meta: &pb.Meta{Args: texts(rng)}}}},
			Subject:     &errdefs.Solve_File{File: &errdefs.FileAction{Index: int64(rng.IntN(3))}},
			Description: map[string]string{"llb.customname": text(rng)},
		}
	case 6:
		return &errdefs.Solve{Subject: &errdefs.Solve_Cache{Cache: &errdefs.ContentCache{Index: int64(rng.IntN(3))}}}
	case 7:
		return &gwpb.ExitMessage{Code: rng.Uint32N(256), Error: &rpc.Status{Message: text(rng)}}
	case 8:
		msgs := []*policysession.DenyMessage{}
		for _, t := range texts(rng) {
			msgs = append(msgs, &policysession.DenyMessage{Message: t})
		}
		return &policysession.DecisionResponse{Action: spb.PolicyAction(rng.IntN(3)), DenyMessages: msgs}
	case 9:
		return &errdefs.CompatibilityFeature{Version: int64(rng.IntN(40)), Feature: text(rng)}
	case 10:
		return &errdefs.ProvenanceMaterialsIncomplete{Incomplete: []*errdefs.ProvenanceMaterialIncomplete{
			{Op: text(rng), Name: text(rng), Method: "GET", Uri: text(rng), FinalUri: text(rng), Reason: text(rng)}, {},
		}}
	default:
		return oneStack(rng)
	}
}

func oneStack(rng *rand.Rand) *stack.Stack {
	s := &stack.Stack{Cmdline: texts(rng), Pid: int32(rng.IntN(2)), Version: "v0.32.2", Revision: text(rng)}
	for range rng.IntN(5) {
		s.Frames = append(s.Frames, &stack.Frame{Name: "f", File: "/a.go", Line: int32(rng.IntN(2))})
	}
	return s
}

func oneStatus(code int32, msg string, details []proto.Message) statusCase {
	st := &rpc.Status{Code: code, Message: msg}
	c := statusCase{Code: code, Message: msg}
	var plain error = plainError(msg)
	for _, d := range details {
		url, uerr := typeurl.TypeURL(d)
		if uerr != nil {
			panic(uerr)
		}
		dt, jerr := json.Marshal(d)
		if jerr != nil {
			panic(jerr)
		}
		st.Details = append(st.Details, &anypb.Any{TypeUrl: url, Value: dt})
		c.Details = append(c.Details, fieldsOf(d))
		if s, ok := d.(*stack.Stack); ok {
			plain = stack.Wrap(plain, proto.Clone(s).(*stack.Stack))
		}
	}
	dt, merr := proto.MarshalOptions{Deterministic: true}.Marshal(st)
	if merr != nil {
		panic(merr)
	}
	c.Status = base64.StdEncoding.EncodeToString(dt)
	c.Stacks = fmt.Sprintf("%+v", stack.Formatter(plain))
	return c
}

type plainError string

func (e plainError) Error() string { return string(e) }

// fieldsOf reads the struct through its getters, so that the expectation does not come from the JSON itself.
func fieldsOf(d proto.Message) map[string]any {
	switch d := d.(type) {
	case *errdefs.Vertex:
		return map[string]any{"type": "FailedVertex", "digest": d.GetDigest()}
	case *errdefs.Source:
		r := d.Ranges[0]
		return map[string]any{"type": "SourceError", "filename": d.Info.Filename, "data": d.Info.Data, "language": d.Info.Language,
			"range": []int32{r.Start.Line, r.Start.Character, r.End.Line, r.End.Character}, "definition": mustMarshal(&pb.Definition{Def: d.Info.Definition.Def})}
	case *errdefs.Frontend:
		return map[string]any{"type": "Frontend", "name": d.GetName(), "source": d.GetSource()}
	case *errdefs.FrontendCap:
		return map[string]any{"type": "FrontendCap", "name": d.GetName()}
	case *errdefs.Subrequest:
		return map[string]any{"type": "Subrequest", "name": d.GetName()}
	case *errdefs.Solve:
		m := map[string]any{"type": "Solve", "input_ids": append([]string{}, d.GetInputIDs()...), "mount_ids": append([]string{}, d.GetMountIDs()...),
			"argv": append([]string{}, d.GetOp().GetExec().GetMeta().GetArgs()...), "description": d.GetDescription(), "file_index": nil, "cache_index": nil}
		if f := d.GetFile(); f != nil {
			m["file_index"] = f.GetIndex()
		}
		if f := d.GetCache(); f != nil {
			m["cache_index"] = f.GetIndex()
		}
		return m
	case *gwpb.ExitMessage:
		return map[string]any{"type": "ExitMessage", "code": d.GetCode(), "error": d.GetError().GetMessage()}
	case *policysession.DecisionResponse:
		msgs := []string{}
		for _, m := range d.GetDenyMessages() {
			if m.GetMessage() != "" { // the tools print no empty ones
				msgs = append(msgs, m.GetMessage())
			}
		}
		return map[string]any{"type": "DecisionResponse", "action": d.GetAction().String(), "messages": msgs}
	case *errdefs.CompatibilityFeature:
		return map[string]any{"type": "CompatibilityFeature", "version": d.GetVersion(), "feature": d.GetFeature()}
	case *errdefs.ProvenanceMaterialsIncomplete:
		var all [][]string
		for _, m := range d.GetIncomplete() {
			all = append(all, []string{m.GetOp(), m.GetName(), m.GetMethod(), m.GetUri(), m.GetFinalUri(), m.GetReason()})
		}
		return map[string]any{"type": "ProvenanceMaterialsIncomplete", "incomplete": all}
	case *stack.Stack:
		frames := [][]any{}
		for _, f := range d.GetFrames() {
			frames = append(frames, []any{f.GetName(), f.GetFile(), f.GetLine()})
		}
		return map[string]any{"type": "Stack", "frames": frames, "cmdline": append([]string{}, d.GetCmdline()...), "pid": d.GetPid(), "version": d.GetVersion(), "revision": d.GetRevision()}
	}
	panic(fmt.Sprintf("no expectation for %T", d))
}

func mustMarshal(m proto.Message) []byte {
	dt, err := proto.Marshal(m)
	if err != nil {
		panic(err)
	}
	return dt
}
