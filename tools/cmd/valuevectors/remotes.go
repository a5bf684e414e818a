package main

import (
	"math/rand/v2"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/dfgitutil"
)

type remoteCase struct {
	In  string `json:"in"`
	Git bool   `json:"git"` // the frontend takes it for a git repository
}

func remoteCases() any {
	inputs := []string{
		"", ".", "..", "./x", "../x", "/abs", "dir", "dir/sub", "a:b", "https://example.com/x.tar", "https://example.com/x.git", "https://example.com/x.git#main:sub",
		"https://example.com/x.git?ref=main", "https://example.com/x.gitt", "https://example.com/x?y=.git", "https://example.com/x#.git", "http://e/x.git", "HTTPS://e/x.git", "git://e/x", "GIT://e/x",
		"ssh://git@e/x", "git@github.com:moby/buildkit", "git@github.com:moby/buildkit.git#v1", "user@host:path", "us.er@host:path", "user@ho_st:path", "@host:path", "user@:path", "user@host",
		"github.com/moby/buildkit", "github.com/", "github.comx/y", "./github.com/x", "docker-image://alpine", "oci-layout://x", "ftp://e/x.git", "file:///x.git", "git+ssh://e/x", "git:x", "ssh:x",
		"https://user:pass@e/x.git", "https://e:80/x.git", "git@host:", "a-b@c-d:e", "é@host:path", "user@hôst:path", "https://e/.git", "https://e/a.git/", "https://e/a.git/b", "https://.git",
	}
	rng := rand.New(rand.NewPCG(11, 12))
	pick := func(of ...string) string { return of[rng.IntN(len(of))] }
	for len(inputs) < 1500 {
		var b strings.Builder
		b.WriteString(pick("", "", "https://", "http://", "git://", "ssh://", "github.com/", "./", "../", "user@", "git@", "ftp://"))
		for range 1 + rng.IntN(4) {
			b.WriteString(pick("a", "b.c", "host", "/", ":", "x.git", ".git", "/repo", "-", "_", "@"))
		}
		b.WriteString(pick("", "", "", "#main", "#main:sub", "?ref=x", "?submodules=false", ".git", "/"))
		inputs = append(inputs, b.String())
	}
	out := make([]remoteCase, 0, len(inputs))
	for _, in := range inputs {
		_, git, _ := dfgitutil.ParseGitRef(in)
		out = append(out, remoteCase{in, git})
	}
	return out
}
