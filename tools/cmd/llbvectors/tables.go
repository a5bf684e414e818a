package main

import (
	"context"
	"encoding/json"
	"net/url"

	"github.com/google/shlex"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/util/apicaps"
	"github.com/moby/buildkit/util/gitutil"
	"github.com/pkg/errors"
)

// tables are questions smaller than a graph: each takes the "in" of a case and gives its "out".
var tables = map[string]func(json.RawMessage) (any, error){
	"giturls": gitURL,
	"shlex":   shlexSplit,
	"caps":    capSupport,
}

func text(in json.RawMessage) (s string, err error) {
	err = json.Unmarshal(in, &s)
	return s, err
}

type gitURLOut struct {
	Transport  bool   `json:"transport"` // what tells a git URL from a path
	Error      string `json:"error,omitempty"`
	Scheme     string `json:"scheme,omitempty"`
	Host       string `json:"host,omitempty"`
	Path       string `json:"path,omitempty"`
	User       string `json:"user,omitempty"`
	Query      string `json:"query,omitempty"`
	Ref        string `json:"ref,omitempty"`
	Subdir     string `json:"subdir,omitempty"`
	Remote     string `json:"remote,omitempty"`
	Identifier string `json:"identifier"` // of llb.Git without fragment
	FullURL    string `json:"full_url,omitempty"`
	SSH        bool   `json:"ssh,omitempty"` // whether llb.Git gives the op an agent's socket
}

func gitURL(in json.RawMessage) (any, error) {
	remote, err := text(in)
	if err != nil {
		return nil, err
	}
	out := gitURLOut{Transport: gitutil.IsGitTransport(remote)}
	u, err := gitutil.ParseURL(remote)
	if errors.Is(err, gitutil.ErrUnknownProtocol) {
		u, err = gitutil.ParseURL("https://" + remote) // as llb.Git does
	}
	if err != nil {
		out.Error = err.Error()
	} else {
		out.Scheme, out.Host, out.Path, out.Remote = u.Scheme, u.Host, u.Path, u.Remote
		if u.User != nil {
			out.User = u.User.String()
		}
		out.Query = url.Values(u.Query).Encode()
		if u.Opts != nil {
			out.Ref, out.Subdir = u.Opts.Ref, u.Opts.Subdir
		}
	}
	op, err := sourceOp(llb.Git(remote, "", llb.KnownSSHHosts("key")))
	if err != nil {
		return nil, err
	}
	out.Identifier, out.FullURL = op.Identifier, op.Attrs[pb.AttrFullRemoteURL]
	_, out.SSH = op.Attrs[pb.AttrMountSSHSock]
	return out, nil
}

func sourceOp(st llb.State) (*pb.SourceOp, error) {
	def, err := st.Marshal(context.Background(), llb.LinuxAmd64)
	if err != nil {
		return nil, err
	}
	var op pb.Op
	if err := op.UnmarshalVT(def.Def[0]); err != nil {
		return nil, err
	}
	return op.GetSource(), nil
}

func shlexSplit(in json.RawMessage) (any, error) {
	line, err := text(in)
	if err != nil {
		return nil, err
	}
	args, err := shlex.Split(line)
	if err != nil {
		return nil, err
	}
	if args == nil {
		args = []string{}
	}
	return args, nil
}

type capQuestion struct {
	ID   string `json:"id"`
	Have []struct {
		ID      string `json:"id"`
		Enabled bool   `json:"enabled"`
		Reason  string `json:"reason"`
	} `json:"have"`
	Product string `json:"product"`
}

func capSupport(in json.RawMessage) (any, error) {
	var q capQuestion
	if err := strict(in, &q); err != nil {
		return nil, err
	}
	apicaps.ExportedProduct = q.Product
	var caps []*apicaps.PBCap
	for _, h := range q.Have {
		caps = append(caps, &apicaps.PBCap{ID: h.ID, Enabled: h.Enabled, DisabledReasonMsg: h.Reason})
	}
	set := pb.Caps.CapSet(caps)
	if err := set.Supports(apicaps.CapID(q.ID)); err != nil {
		return nil, err
	}
	return true, nil
}
