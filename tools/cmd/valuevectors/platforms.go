package main

import (
	"math/rand/v2"
	"runtime"
	"strings"
	"unicode/utf8"

	"github.com/containerd/platforms"
)

type platformValue struct {
	OS       string   `json:"os"`
	Arch     string   `json:"arch"`
	Variant  string   `json:"variant"`
	Version  string   `json:"version"`
	Features []string `json:"features"`
}

type platformCase struct {
	In         string         `json:"in"`
	Parsed     *platformValue `json:"parsed"` // null: an error
	Formatted  string         `json:"formatted"`
	Short      string         `json:"short"`
	Normalized *platformValue `json:"normalized"`
}

type platformTable struct {
	HostOS   string         `json:"host_os"`
	HostArch string         `json:"host_arch"`
	Cases    []platformCase `json:"cases"`
}

func value(p platforms.Platform) *platformValue {
	return &platformValue{p.OS, p.Architecture, p.Variant, p.OSVersion, append([]string{}, p.OSFeatures...)}
}

func platformCases() any {
	inputs := []string{
		"", "*", "linux/*", "linux", "amd64", "linux/amd64", "LINUX/AMD64", "linux/arm", "linux/arm/v7", "linux/arm/7", "linux/arm/v6", "linux/arm/6",
		"armel", "armhf", "arm", "linux/armhf", "linux/armel", "linux/armhf/v6", "linux/arm64", "linux/arm64/v8", "linux/arm64/8", "linux/arm64/v9", "linux/arm64/9.0",
		"linux/arm64/v8.0", "linux/aarch64", "aarch64", "linux/x86_64", "x86-64", "i386", "linux/i386", "linux/i386/v1", "linux/386", "linux/amd64/v1", "linux/amd64/v2",
		"windows", "windows/amd64", "windows(10.0.17763)/amd64", "windows(10.0.17763)", "windows(10.0.17763+win32k)/amd64", "windows(+win32k)/amd64", "windows()/amd64",
		"linux(+erofs)/amd64", "linux(+b+a+a)/amd64", "linux(1%2B2)/arm64", "linux(1%zz)/arm64", "linux(%)/arm64", "linux(%2F+%28x%29)/arm64", "linux(%ff)/arm64", "linux(+)/amd64",
		"linux(1", "linux)", "linux(a b)/amd64", "macos", "macos/arm64", "darwin", "freebsd", "foo", "foo/bar", "foo/bar/baz", "a/b/c/d", "a/b/c/d/e", "/", "linux/", "/amd64", "linux//v7",
		"linux/../x", "linux/.", "linux/..", "linux/a/..", "linux/a/.", "é/amd64", "linux/é", "linux\n", "linux/amd64\n", "wasm", "wasip1/wasm", "riscv64", "s390x", "ppc64le", "mips64le", "loong64",
	}
	rng := rand.New(rand.NewPCG(5, 6))
	pick := func(of ...string) string { return of[rng.IntN(len(of))] }
	junk := func() string {
		var b strings.Builder
		for range 1 + rng.IntN(4) {
			b.WriteString(pick("a", "Z", "0", "9", "_", "-", ".", "%", "%41", "%2b", "%e9", "+", "(", ")", " ", "é"))
		}
		return b.String()
	}
	for len(inputs) < 3000 {
		var b strings.Builder
		b.WriteString(pick("linux", "Linux", "windows", "darwin", "macOS", "freebsd", "plan9", "x", "amd64", "arm", "ARMHF", junk()))
		if rng.IntN(3) == 0 {
			b.WriteString("(" + pick("", "10.0.17763", "1.2", "%2F", junk()))
			for range rng.IntN(3) {
				b.WriteString("+" + pick("win32k", "erofs", "a", "b", "%2B", junk()))
			}
			b.WriteString(")")
		}
		for range rng.IntN(4) {
			b.WriteString("/" + pick("amd64", "arm64", "arm", "386", "i386", "x86_64", "aarch64", "armel", "armhf", "riscv64", "v1", "v5", "v6", "v7", "v8", "V8", "8", "7", "9", "v9.0", "", junk()))
		}
		inputs = append(inputs, b.String())
	}
	t := platformTable{HostOS: runtime.GOOS, HostArch: runtime.GOARCH}
	for _, in := range inputs {
		t.Cases = append(t.Cases, onePlatform(in))
	}
	return t
}

func onePlatform(in string) platformCase {
	c := platformCase{In: in}
	p, err := platforms.Parse(in)
	// Protocol buffers can not carry a string that is not UTF-8: such a platform is refused later in Go, at once by us.
	if err != nil || !utf8.ValidString(p.OSVersion+strings.Join(p.OSFeatures, "")) {
		return c
	}
	c.Parsed, c.Formatted, c.Short = value(p), platforms.FormatAll(p), platforms.Format(p)
	c.Normalized = value(platforms.Normalize(p))
	return c
}
