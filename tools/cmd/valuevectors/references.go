package main

import (
	"math/rand/v2"
	"strings"

	_ "crypto/sha512" // the digest package knows the algorithms that are linked in, as buildctl has them

	"github.com/distribution/reference"
)

type referenceCase struct {
	In       string `json:"in"`
	OK       bool   `json:"ok"`
	Full     string `json:"full,omitempty"`
	Domain   string `json:"domain,omitempty"`
	Path     string `json:"path,omitempty"`
	Tag      string `json:"tag,omitempty"`
	Digest   string `json:"digest,omitempty"`
	Familiar string `json:"familiar,omitempty"`
	Tagged   string `json:"tagged,omitempty"`   // TagNameOnly
	Resolved string `json:"resolved,omitempty"` // ParseDockerRef
}

func referenceCases() any {
	sha := "sha256:" + strings.Repeat("0123456789abcdef", 4)
	inputs := []string{
		"", "alpine", "alpine:3.20", "library/alpine", "docker.io/alpine", "docker.io/library/alpine", "index.docker.io/alpine",
		"index.docker.io/library/alpine:x", "ghcr.io/acme/api:1.4", "localhost/x", "localhost:5000/x", "localhost:5000", "a/b/c",
		"a.b/c", "a_b.c/d", "A/b", "Foo/bar", "foo/Bar", "ALPINE", "alpine:LATEST", "alpine:", "alpine@" + sha, "alpine:x@" + sha,
		"alpine@sha256:abc", "alpine@md5:" + strings.Repeat("ab", 16), "alpine@sha512:" + strings.Repeat("ab", 64),
		"alpine@sha256:" + strings.Repeat("AB", 32), "alpine@sha384:" + strings.Repeat("ab", 48), strings.Repeat("ab", 32),
		strings.Repeat("ab", 32) + ":tag", "x/" + strings.Repeat("ab", 32), "a:b/c", "[::1]:5000/x", "[::1]/x", "[fe80::1%eth0]/x",
		"1.2.3.4/x", "a..b/c", "a--b/c", "a__b/c", "a___b", "a._b", "-a", "a-", "a/", "/a", "a//b", "a b", "a\n", "a:b\n",
		"alpine:" + strings.Repeat("t", 128), "alpine:" + strings.Repeat("t", 129), strings.Repeat("a", 255), strings.Repeat("a", 256),
		"library/" + strings.Repeat("a", 247), "library/" + strings.Repeat("a", 248), "docker.io/" + strings.Repeat("a", 247),
		"x.y/" + strings.Repeat("a", 255), "x.y/" + strings.Repeat("a", 256), "é", "a.b/é", "É/a", "a:é", "docker.io/a/b", "docker.io/docker.io/a",
		"xn--a.example/x", "example.com:80/x:y", "example.com:/x", "example.com:port/x", "a@b", "a@b:c", "localhost/A", "LOCALHOST/a",
		"a.-b/c", "a-.b/c", "library/a/b", "docker.io/library/a/b", "docker.io", "docker.io/", "http://a/b", "docker-image://alpine", "*",
	}
	rng := rand.New(rand.NewPCG(3, 4))
	pick := func(of ...string) string { return of[rng.IntN(len(of))] }
	word := func() string {
		var b strings.Builder
		for range 1 + rng.IntN(4) {
			b.WriteString(pick("a", "b", "0", "z9", "x", "q", "A", "-", "_", ".", "__", "--", "..", "é", " "))
		}
		return b.String()
	}
	name := func() string {
		return pick("alpine", "busybox", "a", "foo", "my-app", "a_b", "a.b", "Foo", word(), word())
	}
	for len(inputs) < 4000 {
		var b strings.Builder
		b.WriteString(pick("", "", "", "docker.io/", "index.docker.io/", "localhost/", "localhost:5000/", "ghcr.io/", "a.b:80/", "Reg/", word()+"/", word()+":1/"))
		for range rng.IntN(3) {
			b.WriteString(pick("library", name(), name()) + "/")
		}
		b.WriteString(name())
		b.WriteString(pick("", "", "", ":latest", ":1.2", ":", ":V1_x", ":"+word(), ":.x", ":-x"))
		b.WriteString(pick("", "", "", "", "@"+sha, "@sha256:ab", "@"+word()+":"+strings.Repeat("a", 32+rng.IntN(40)), "@sha256:"+strings.Repeat("g", 64), "@sha512:"+strings.Repeat("0", 128)))
		inputs = append(inputs, b.String())
	}
	out := make([]referenceCase, 0, len(inputs))
	for _, in := range inputs {
		out = append(out, oneReference(in))
	}
	return out
}

func oneReference(in string) referenceCase {
	c := referenceCase{In: in}
	named, err := reference.ParseNormalizedNamed(in)
	if err != nil {
		return c
	}
	c.OK = true
	c.Full, c.Familiar = named.String(), reference.FamiliarString(named)
	c.Domain, c.Path = reference.Domain(named), reference.Path(named)
	c.Tagged = reference.TagNameOnly(named).String()
	if t, ok := named.(reference.Tagged); ok {
		c.Tag = t.Tag()
	}
	if d, ok := named.(reference.Digested); ok {
		c.Digest = d.Digest().String()
	}
	if r, err := reference.ParseDockerRef(in); err == nil {
		c.Resolved = r.String()
	}
	return c
}
