package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"os"

	"github.com/containerd/platforms"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/solver/pb"
	digest "github.com/opencontainers/go-digest"
	"github.com/pkg/errors"
)

type scratchNode struct{ node }

func (n *scratchNode) make(*builder, []llb.ConstraintsOpt) (llb.State, error) {
	return llb.Scratch(), nil
}

type imageNode struct {
	node
	Ref            string          `json:"ref"`
	Resolve        string          `json:"resolve"`
	Internal       bool            `json:"internal"`
	LayerLimit     *int            `json:"layer_limit"`
	Checksum       digest.Digest   `json:"checksum"`
	Config         json.RawMessage `json:"config"`
	ResolveDigest  bool            `json:"resolve_digest"`
	ResolvedRef    string          `json:"resolved_ref"`
	ResolvedDigest digest.Digest   `json:"resolved_digest"`
	ResolveError   string          `json:"resolve_error"`
}

var resolveModes = map[string]llb.ResolveMode{
	"default": llb.ResolveModeDefault, "pull": llb.ResolveModeForcePull, "local": llb.ResolveModePreferLocal,
}

func (n *imageNode) make(b *builder, opts []llb.ConstraintsOpt) (llb.State, error) {
	o := each[llb.ImageOption](opts)
	if n.Resolve != "" {
		mode, ok := resolveModes[n.Resolve]
		if !ok {
			return llb.State{}, errors.Errorf("unknown resolve mode %q", n.Resolve)
		}
		o = append(o, mode)
	}
	if n.Internal {
		o = append(o, llb.MarkImageInternal)
	}
	if n.LayerLimit != nil {
		o = append(o, llb.WithLayerLimit(*n.LayerLimit))
	}
	if n.Checksum != "" {
		o = append(o, llb.WithImageChecksum(n.Checksum))
	}
	if n.Config != nil || n.ResolveError != "" {
		o = append(o, llb.WithMetaResolver(&resolver{node: n, calls: &b.resolved}))
	}
	if n.ResolveDigest {
		o = append(o, llb.ResolveDigest(true))
	}
	return llb.Image(n.Ref, o...), nil
}

// resolver stands for a registry: it answers with what the node says and keeps what it was asked.
type resolver struct {
	node  *imageNode
	calls *[]resolveCall
}

type resolveCall struct {
	Ref      string `json:"ref"`
	Platform string `json:"platform"`
	Mode     string `json:"mode"`
}

func (r *resolver) ResolveImageConfig(_ context.Context, ref string, opt sourceresolver.Opt) (string, digest.Digest, []byte, error) {
	call := resolveCall{Ref: ref, Mode: opt.ImageOpt.ResolveMode}
	if p := opt.ImageOpt.Platform; p != nil {
		call.Platform = platforms.FormatAll(*p)
	}
	*r.calls = append(*r.calls, call)
	if r.node.ResolveError != "" {
		return "", "", nil, errors.New(r.node.ResolveError)
	}
	if r.node.ResolvedRef != "" {
		ref = r.node.ResolvedRef
	}
	return ref, r.node.ResolvedDigest, r.node.Config, nil
}

type fileInfo struct {
	Filename string      `json:"filename"`
	Perm     os.FileMode `json:"perm"`
	UID      int         `json:"uid"`
	GID      int         `json:"gid"`
}

func (f fileInfo) options() (out []llb.FileInfoOption) {
	if f.Filename != "" {
		out = append(out, llb.Filename(f.Filename))
	}
	if f.Perm != 0 {
		out = append(out, llb.Chmod(f.Perm))
	}
	if f.UID != 0 || f.GID != 0 {
		out = append(out, llb.Chown(f.UID, f.GID))
	}
	return out
}

type blobNode struct {
	node
	fileInfo
	oci     bool
	Ref     string `json:"ref"`
	Session string `json:"session"`
	Store   string `json:"store"`
}

func (n *blobNode) make(_ *builder, opts []llb.ConstraintsOpt) (llb.State, error) {
	o := each[llb.ImageBlobOption](opts)
	for _, f := range n.options() {
		o = append(o, f)
	}
	if n.Session != "" || n.Store != "" {
		o = append(o, llb.ImageBlobOCIStore(n.Session, n.Store))
	}
	if n.oci {
		return llb.OCILayoutBlob(n.Ref, o...), nil
	}
	return llb.ImageBlob(n.Ref, o...), nil
}

type layoutNode struct {
	node
	Ref        string        `json:"ref"`
	Session    string        `json:"session"`
	Store      string        `json:"store"`
	LayerLimit *int          `json:"layer_limit"`
	Checksum   digest.Digest `json:"checksum"`
}

func (n *layoutNode) make(_ *builder, opts []llb.ConstraintsOpt) (llb.State, error) {
	o := each[llb.OCILayoutOption](opts)
	if n.Session != "" || n.Store != "" {
		o = append(o, llb.OCIStore(n.Session, n.Store))
	}
	if n.LayerLimit != nil {
		o = append(o, llb.OCILayerLimit(*n.LayerLimit))
	}
	if n.Checksum != "" {
		o = append(o, llb.OCIChecksum(n.Checksum))
	}
	return llb.OCILayout(n.Ref, o...), nil
}

type httpNode struct {
	node
	fileInfo
	URL        string        `json:"url"`
	Checksum   digest.Digest `json:"checksum"`
	AuthHeader string        `json:"auth_header"`
	Header     *struct {
		Accept    string `json:"accept"`
		UserAgent string `json:"user_agent"`
	} `json:"header"`
	Signature *struct {
		Key       string `json:"key"`
		Signature string `json:"signature"`
	} `json:"signature"`
}

func (n *httpNode) make(_ *builder, opts []llb.ConstraintsOpt) (llb.State, error) {
	o := each[llb.HTTPOption](opts)
	for _, f := range n.options() {
		o = append(o, f)
	}
	if n.Checksum != "" {
		o = append(o, llb.Checksum(n.Checksum))
	}
	if n.AuthHeader != "" {
		o = append(o, llb.AuthHeaderSecret(n.AuthHeader))
	}
	if h := n.Header; h != nil {
		o = append(o, llb.Header(llb.HTTPHeader{Accept: h.Accept, UserAgent: h.UserAgent}))
	}
	if s := n.Signature; s != nil {
		o = append(o, llb.VerifyPGPSignature(llb.HTTPSignatureInfo{PubKey: []byte(s.Key), Signature: []byte(s.Signature)}))
	}
	return llb.HTTP(n.URL, o...), nil
}

type localNode struct {
	node
	Name           string    `json:"name"`
	Session        string    `json:"session"`
	Include        []string  `json:"include"`
	Exclude        []string  `json:"exclude"`
	Follow         []string  `json:"follow"`
	Hint           string    `json:"hint"`
	Differ         string    `json:"differ"`
	DifferRequired bool      `json:"differ_required"`
	MetadataOnly   *[]string `json:"metadata_only"`
}

func (n *localNode) make(_ *builder, opts []llb.ConstraintsOpt) (llb.State, error) {
	o := each[llb.LocalOption](opts)
	if n.Session != "" {
		o = append(o, llb.SessionID(n.Session))
	}
	if n.Include != nil {
		o = append(o, llb.IncludePatterns(n.Include))
	}
	if n.Exclude != nil {
		o = append(o, llb.ExcludePatterns(n.Exclude))
	}
	if n.Follow != nil {
		o = append(o, llb.FollowPaths(n.Follow))
	}
	if n.Hint != "" {
		o = append(o, llb.SharedKeyHint(n.Hint))
	}
	if n.Differ != "" {
		o = append(o, llb.Differ(llb.DiffType(n.Differ), n.DifferRequired))
	}
	if n.MetadataOnly != nil {
		o = append(o, llb.MetadataOnlyTransfer(*n.MetadataOnly))
	}
	return llb.Local(n.Name, o...), nil
}

type sourceNode struct {
	node
	ID    string            `json:"id"`
	Attrs map[string]string `json:"attrs"`
}

func (n *sourceNode) make(_ *builder, opts []llb.ConstraintsOpt) (llb.State, error) {
	var c llb.Constraints
	for _, o := range opts {
		o.SetConstraintsOption(&c)
	}
	attrs := map[string]string{}
	for k, v := range n.Attrs {
		attrs[k] = v
	}
	return llb.NewState(llb.NewSource(n.ID, attrs, c).Output()), nil
}

type definitionNode struct {
	node
	Of    *int   `json:"of"`
	Bytes string `json:"bytes"`
}

func (n *definitionNode) make(b *builder, opts []llb.ConstraintsOpt) (llb.State, error) {
	def := &pb.Definition{}
	switch {
	case n.Of != nil:
		st, err := b.state(*n.Of)
		if err != nil {
			return st, err
		}
		opts = append([]llb.ConstraintsOpt{llb.LinuxAmd64, llb.LocalUniqueID("uid0")}, opts...)
		marshalled, err := st.Marshal(context.Background(), opts...)
		if err != nil {
			return st, err
		}
		def = marshalled.ToPB()
	default:
		dt, err := base64.StdEncoding.DecodeString(n.Bytes)
		if err != nil {
			return llb.State{}, err
		}
		if err := def.UnmarshalVT(dt); err != nil {
			return llb.State{}, err
		}
	}
	op, err := llb.NewDefinitionOp(def)
	if err != nil {
		return llb.State{}, err
	}
	// The gateway's client makes a state of the op itself, which loses the platform; its output keeps it.
	return llb.NewState(op.Output()), nil
}
