package main

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"time"

	"github.com/moby/buildkit/client/llb"
	"github.com/pkg/errors"
)

type fileNode struct {
	node
	input   bool
	On      int               `json:"on"`
	Actions []json.RawMessage `json:"actions"`
}

func (n *fileNode) make(b *builder, opts []llb.ConstraintsOpt) (llb.State, error) {
	st, err := b.state(n.On)
	if err != nil {
		return st, err
	}
	var chain *llb.FileAction
	for _, data := range n.Actions {
		if chain, err = b.action(chain, data); err != nil {
			return st, err
		}
	}
	if n.input {
		b.inputs[len(b.states)] = chain.WithState(st)
		return llb.Scratch(), nil
	}
	return st.File(chain, opts...), nil
}

// action appends one action to a chain; methods of a nil chain start one.
func (b *builder) action(chain *llb.FileAction, data json.RawMessage) (*llb.FileAction, error) {
	var kind struct {
		Do string `json:"do"`
	}
	if err := json.Unmarshal(data, &kind); err != nil {
		return nil, err
	}
	var a interface {
		append(b *builder, chain *llb.FileAction) (*llb.FileAction, error)
	}
	switch kind.Do {
	case "mkdir":
		a = &mkdirAction{}
	case "mkfile":
		a = &mkfileAction{}
	case "symlink":
		a = &symlinkAction{}
	case "rm":
		a = &rmAction{}
	case "copy":
		a = &copyAction{}
	default:
		return nil, errors.Errorf("unknown action %q", kind.Do)
	}
	if err := strict(data, a); err != nil {
		return nil, errors.Wrapf(err, "action %s", data)
	}
	return a.append(b, chain)
}

type owned struct {
	Do    string  `json:"do"`
	User  string  `json:"user"`
	IDs   *[2]int `json:"ids"`
	Chown *struct {
		User  *account `json:"user"`
		Group *account `json:"group"`
	} `json:"chown"`
	Time *int64 `json:"time"`
}

type account struct {
	ID   int    `json:"id"`
	Name string `json:"name"`
}

func (a *account) option() *llb.UserOpt {
	if a == nil {
		return nil
	}
	return &llb.UserOpt{UID: a.ID, Name: a.Name}
}

// ownerAndTime gives the two options every action but rm has, nil for an absent one.
func (o owned) ownerAndTime() (owner llb.ChownOption, created *llb.CreatedTime) {
	switch {
	case o.User != "":
		owner = llb.WithUser(o.User)
	case o.IDs != nil:
		owner = llb.WithUIDGID(o.IDs[0], o.IDs[1])
	case o.Chown != nil:
		owner = llb.ChownOpt{User: o.Chown.User.option(), Group: o.Chown.Group.option()}
	}
	if o.Time != nil {
		t := llb.WithCreatedTime(time.Unix(0, *o.Time))
		created = &t
	}
	return owner, created
}

type mkdirAction struct {
	owned
	Path    string      `json:"path"`
	Mode    os.FileMode `json:"mode"`
	Parents bool        `json:"parents"`
}

func (a *mkdirAction) append(_ *builder, chain *llb.FileAction) (*llb.FileAction, error) {
	var o []llb.MkdirOption
	if a.Parents {
		o = append(o, llb.WithParents(true))
	}
	owner, created := a.ownerAndTime()
	if owner != nil {
		o = append(o, owner)
	}
	if created != nil {
		o = append(o, created)
	}
	return chain.Mkdir(a.Path, a.Mode, o...), nil
}

type mkfileAction struct {
	owned
	Path    string      `json:"path"`
	Mode    os.FileMode `json:"mode"`
	Data    string      `json:"data"`
	DataB64 string      `json:"data_b64"`
}

func (a *mkfileAction) append(_ *builder, chain *llb.FileAction) (*llb.FileAction, error) {
	data := []byte(a.Data)
	if a.DataB64 != "" {
		var err error
		if data, err = base64.StdEncoding.DecodeString(a.DataB64); err != nil {
			return nil, err
		}
	}
	var o []llb.MkfileOption
	owner, created := a.ownerAndTime()
	if owner != nil {
		o = append(o, owner)
	}
	if created != nil {
		o = append(o, created)
	}
	return chain.Mkfile(a.Path, a.Mode, data, o...), nil
}

type symlinkAction struct {
	owned
	Old string `json:"old"`
	New string `json:"new"`
}

func (a *symlinkAction) append(_ *builder, chain *llb.FileAction) (*llb.FileAction, error) {
	var o []llb.SymlinkOption
	owner, created := a.ownerAndTime()
	if owner != nil {
		o = append(o, owner)
	}
	if created != nil {
		o = append(o, created)
	}
	return chain.Symlink(a.Old, a.New, o...), nil
}

type rmAction struct {
	Do            string `json:"do"`
	Path          string `json:"path"`
	AllowNotFound bool   `json:"allow_not_found"`
	AllowWildcard bool   `json:"allow_wildcard"`
}

func (a *rmAction) append(_ *builder, chain *llb.FileAction) (*llb.FileAction, error) {
	return chain.Rm(a.Path, llb.WithAllowNotFound(a.AllowNotFound), llb.WithAllowWildcard(a.AllowWildcard)), nil
}

type copyAction struct {
	owned
	From          int          `json:"from"`
	Src           string       `json:"src"`
	Dest          string       `json:"dest"`
	Mode          *os.FileMode `json:"mode"`
	ModeStr       string       `json:"mode_str"`
	Follow        bool         `json:"follow"`
	ContentsOnly  bool         `json:"contents_only"`
	Include       []string     `json:"include"`
	Exclude       []string     `json:"exclude"`
	Required      []string     `json:"required"`
	Unpack        bool         `json:"unpack"`
	CreateDest    bool         `json:"create_dest"`
	Wildcard      bool         `json:"wildcard"`
	EmptyWildcard bool         `json:"empty_wildcard"`
	Replace       bool         `json:"replace"`
}

func (a *copyAction) append(b *builder, chain *llb.FileAction) (*llb.FileAction, error) {
	from, ok := b.inputs[a.From]
	if !ok {
		st, err := b.state(a.From)
		if err != nil {
			return nil, err
		}
		from = st
	}
	o := []llb.CopyOption{&llb.CopyInfo{
		FollowSymlinks:                 a.Follow,
		CopyDirContentsOnly:            a.ContentsOnly,
		IncludePatterns:                a.Include,
		RequiredPaths:                  a.Required,
		AttemptUnpack:                  a.Unpack,
		CreateDestPath:                 a.CreateDest,
		AllowWildcard:                  a.Wildcard,
		AllowEmptyWildcard:             a.EmptyWildcard,
		AlwaysReplaceExistingDestPaths: a.Replace,
	}}
	if a.Exclude != nil {
		o = append(o, llb.WithExcludePatterns(a.Exclude))
	}
	if a.Mode != nil {
		o = append(o, llb.ChmodOpt{Mode: *a.Mode})
	}
	if a.ModeStr != "" {
		o = append(o, llb.ChmodOpt{ModeStr: a.ModeStr})
	}
	owner, created := a.ownerAndTime()
	if owner != nil {
		o = append(o, owner)
	}
	if created != nil {
		o = append(o, created)
	}
	return chain.Copy(from, a.Src, a.Dest, o...), nil
}
