package main

import (
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/util/gitutil"
	"github.com/pkg/errors"
)

type gitNode struct {
	node
	URL            string     `json:"url"`
	Fragment       string     `json:"fragment"`
	Ref            string     `json:"ref"`
	Subdir         string     `json:"subdir"`
	KeepGitDir     bool       `json:"keep_git_dir"`
	SkipSubmodules bool       `json:"skip_submodules"`
	MTime          string     `json:"mtime"`
	Checksum       string     `json:"checksum"`
	FetchByCommit  bool       `json:"fetch_by_commit"`
	AuthToken      *string    `json:"auth_token"`
	AuthHeader     *string    `json:"auth_header"`
	KnownHosts     []string   `json:"known_hosts"`
	SSHSocket      string     `json:"ssh_socket"`
	Bundle         *gitBundle `json:"bundle"`
	CheckoutBundle bool       `json:"checkout_bundle"`
}

type gitBundle struct {
	Locator string `json:"locator"`
	Session string `json:"session"`
	Store   string `json:"store"`
}

func (n *gitNode) make(_ *builder, opts []llb.ConstraintsOpt) (llb.State, error) {
	if u, err := gitutil.ParseURL(n.URL); err == nil && u.Scheme == gitutil.SSHProtocol && len(n.KnownHosts) == 0 {
		// llb.Git would scan the host's keys over the network (L7), and no two runs would agree.
		return llb.State{}, errors.Errorf("git over ssh needs known_hosts here: %s", n.URL)
	}
	return llb.Git(n.URL, n.Fragment, append(each[llb.GitOption](opts), n.options()...)...), nil
}

func (n *gitNode) options() (o []llb.GitOption) {
	if n.Ref != "" {
		o = append(o, llb.GitRef(n.Ref))
	}
	if n.Subdir != "" {
		o = append(o, llb.GitSubDir(n.Subdir))
	}
	if n.KeepGitDir {
		o = append(o, llb.KeepGitDir())
	}
	if n.SkipSubmodules {
		o = append(o, llb.GitSkipSubmodules())
	}
	if n.MTime != "" {
		o = append(o, llb.GitMTime(n.MTime))
	}
	if n.Checksum != "" {
		o = append(o, llb.GitChecksum(n.Checksum))
	}
	if n.FetchByCommit {
		o = append(o, llb.GitFetchByCommit())
	}
	if n.AuthToken != nil {
		o = append(o, llb.AuthTokenSecret(*n.AuthToken))
	}
	if n.AuthHeader != nil {
		o = append(o, llb.AuthHeaderSecret(*n.AuthHeader))
	}
	for _, k := range n.KnownHosts {
		o = append(o, llb.KnownSSHHosts(k))
	}
	if n.SSHSocket != "" {
		o = append(o, llb.MountSSHSock(n.SSHSocket))
	}
	if bundle := n.Bundle; bundle != nil {
		var bo []llb.GitBundleOption
		if bundle.Session != "" || bundle.Store != "" {
			bo = append(bo, llb.GitBundleOCIStore(bundle.Session, bundle.Store))
		}
		o = append(o, llb.GitBundleURL(bundle.Locator, bo...))
	}
	if n.CheckoutBundle {
		o = append(o, llb.GitCheckoutBundle())
	}
	return o
}
