package main

import "maps"

// testCase is what a frontend is told, and what it finds.
type testCase struct {
	Options map[string]string `json:"options"`
	Files   map[string]string `json:"files"`
	Inputs  []string          `json:"inputs,omitempty"`
	Names   []string          `json:"names,omitempty"`
}

type opts = map[string]string

var files = opts{
	"Dockerfile":    "FROM alpine\n",
	".dockerignore": "# comment\n/x/../y\n!z\n  node_modules  \n",
}

func with(more opts) opts {
	all := maps.Clone(files)
	maps.Copy(all, more)
	return all
}

func cases() []*testCase {
	var out []*testCase
	add := func(o opts) *testCase {
		c := &testCase{Options: o, Files: files}
		out = append(out, c)
		return c
	}
	for _, o := range valueOptions {
		add(o)
	}
	for _, context := range contexts {
		add(opts{"context": context})
		add(opts{"context": context, "contextsubdir": "sub/dir", "build-arg:SOURCE_DATE_EPOCH": "1", "build-arg:BUILDKIT_CONTEXT_KEEP_GIT_DIR": "1"})
	}
	add(opts{"context": "https://example.com/file.txt"}).Files = with(opts{"context": "FROM alpine\n"})
	add(opts{"context": "https://example.com/x.tar.bz2"}).Files = with(opts{"context": "BZh91AY..."})
	add(opts{"contextkey": "other", "other": "https://example.com/r.git", "context": "ignored"})
	add(opts{"dockerfilekey": "elsewhere", "context": "https://example.com/r.git#main"})
	add(opts{"dockerfilekey": "elsewhere"})
	add(opts{}).Inputs = []string{"context"}
	add(opts{"contextsubdir": "a"}).Inputs = []string{"context", "dockerfile"}
	add(opts{"dockerfilekey": "dockerfile"}).Inputs = []string{"context", "dockerfile"}
	add(opts{"filename": "sub/service.yaml"}).Files = with(opts{"sub/service.yaml": "a: 1\n", "sub/service.yaml.dockerignore": "own"})
	add(opts{"filename": "sub/Dockerfile"}).Files = with(opts{"sub/dockerfile": "lower"})
	add(opts{}).Files = opts{"dockerfile": "lower", "Dockerfile.dockerignore": "*.o"}
	add(opts{}).Files = opts{"Dockerfile": "FROM x"}
	add(opts{}).Files = opts{}
	add(opts{"filename": "missing"})
	add(opts{"local-sessionid:context": "session2", "local-sessionid:dockerfile": "session3"})
	add(namedContexts).Names = []string{"base", "alpine:latest", "docker.io/library/alpine", "layout", "app/src:1", "gone", "nothing", "page", "code", "plain", "here", "input", "bare", "Bad Name"}
	out[len(out)-1].Inputs = []string{"one"}
	return out
}

var contexts = []string{
	"https://github.com/moby/buildkit.git",
	"https://github.com/moby/buildkit.git#v1:docs",
	"https://example.com/r.git?ref=main",
	"https://example.com/r.git?branch=main&subdir=a/b",
	"https://example.com/r.git?tag=v1&checksum=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
	"https://example.com/r.git?tag=refs/tags/v1&keep-git-dir",
	"https://example.com/r.git?keep-git-dir=false&submodules=false",
	"https://example.com/r.git?submodules&mtime=commit",
	"https://example.com/r.git?mtime=checkout",
	"https://example.com/r.git?commit=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa&fetch-by-commit",
	"https://example.com/r.git?branch=refs/heads/x#refs/heads/x",
	"https://example.com/r.git?subdir=a#x:a",
	"https://example.com/r.git?ref=a#b",
	"https://example.com/r.git?subdir=a#x:b",
	"https://example.com/r.git?branch=a&tag=b",
	"https://example.com/r.git?ref=a&ref=b",
	"https://example.com/r.git?ref=",
	"https://example.com/r.git?what=1",
	"https://example.com/r.git?mtime=now",
	"https://example.com/r.git?submodules=maybe",
	"git://example.com/r#x",
	"github.com/moby/buildkit",
	"github.com/moby/buildkit#main:sub",
	"HTTPS://example.com/r.git",
	"plain-text",
	"./relative.git",
	"",
}

var namedContexts = opts{
	"context:base::linux/arm64":    "docker-image://alpine:3",
	"context:base":                 "docker-image://busybox",
	"context:alpine":               "docker-image://scratch",
	"context:layout":               "oci-layout://store:tag@sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb",
	"context:app/src:1":            "local:src",
	"sharedkey:localdir:app/src:1": "key1",
	"context:gone":                 "input:two",
	"context:page":                 "https://example.com/page.html",
	"context:code":                 "https://example.com/code.git#main",
	"context:plain":                "no-scheme",
	"context:here":                 "what://ever",
	"context:input":                "input:one",
	"input-metadata:one":           `{"containerimage.config":"eyJhcmNoaXRlY3R1cmUiOiJhcm02NCIsIm9zIjoibGludXgiLCJjb25maWciOnsiRW52IjpbIlE9MSJdfX0="}`,
	"context:bare":                 "docker-image://",
	"image-resolve-mode":           "pull",
}

var valueOptions = []opts{
	{},
	{"target": "t", "platform": "linux/arm64", "build-arg:A": "1", "build-arg:B": "", "build-arg:C=D": "x", "label:l": "v"},
	{"platform": "linux/amd64,linux/arm64/v8,linux/arm"},
	{"platform": "linux/amd64,linux/arm64", "multi-platform": "false"},
	{"platform": "linux/amd64", "multi-platform": "true"},
	{"platform": "linux/amd64", "build-arg:BUILDKIT_MULTI_PLATFORM": "1", "multi-platform": "false"},
	{"multi-platform": "maybe"},
	{"platform": "linux/amd64, linux/arm64"},
	{"platform": "*"},
	{"no-cache": ""},
	{"no-cache": "A,c"},
	{"no-cache": "b"},
	{"image-resolve-mode": "pull"},
	{"image-resolve-mode": "local"},
	{"image-resolve-mode": "default"},
	{"image-resolve-mode": "never"},
	{"force-network-mode": "none"},
	{"force-network-mode": "host"},
	{"force-network-mode": "sandbox"},
	{"force-network-mode": "bridge"},
	{"add-hosts": "a=1.2.3.4,B=::1"},
	{"add-hosts": "a"},
	{"add-hosts": "a=b"},
	{"add-hosts": "\"a=1.2.3.4\""},
	{"shm-size": "67108864"},
	{"shm-size": "64m"},
	{"ulimit": "nofile=1024:2048,nproc=5"},
	{"ulimit": "what=1"},
	{"ulimit": "nofile=x"},
	{"ulimit": "nofile=5:1"},
	{"memory": "1024", "memswap": "-1", "cpushares": "2", "cpuperiod": "3", "cpuquota": "4", "cpusetcpus": "0-1", "cpusetmems": "0"},
	{"memory": "-1"},
	{"memory": "0"},
	{"memory": "x"},
	{"memswap": "0"},
	{"cpuquota": "-5"},
	{"cpusetcpus": "a"},
	{"hostname": "h"},
	{"hostname": "h", "build-arg:BUILDKIT_SANDBOX_HOSTNAME": "i"},
	{"cgroup-parent": "/x"},
	{"cache-imports": `[{"Type":"registry","Attrs":{"ref":"r"}},{"Type":"local","Attrs":{"src":"d"}}]`},
	{"cache-imports": `[`},
	{"cache-imports": ``},
	{"cache-from": "a,b"},
	{"cache-imports": `[{"Type":"gha"}]`, "cache-from": "a"},
	{"attest:sbom": ""},
	{"build-arg:BUILDKIT_ATTEST_SBOM": "generator=x"},
}
