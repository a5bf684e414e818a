// Command llbbench builds and marshals one large graph with BuildKit's client/llb and tells how long it took.
//
//	llbbench OPS [ROUNDS]
//
// The graph is the one of bench/llb/graph.py: a chain of OPS ops that are runs and file ops in turn. Every run has two
// variables of its own, a cache mount and a read-only mount of the source. It prints a JSON object: the seconds of every
// round, the head's digest, the bytes of all ops, and the peak resident memory in bytes.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"time"

	"github.com/moby/buildkit/client/llb"
	digest "github.com/opencontainers/go-digest"
)

type report struct {
	Ops     int           `json:"ops"`
	Build   []float64     `json:"build"`
	Marshal []float64     `json:"marshal"`
	Head    digest.Digest `json:"head"`
	Bytes   int           `json:"bytes"`
	Peak    int64         `json:"peak"`
}

func main() {
	if err := measure(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "llbbench:", err)
		os.Exit(1)
	}
}

func measure(args []string) error {
	if len(args) < 1 {
		return fmt.Errorf("usage: llbbench OPS [ROUNDS]")
	}
	ops, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	rounds := 1
	if len(args) > 1 {
		if rounds, err = strconv.Atoi(args[1]); err != nil {
			return err
		}
	}
	r := report{Ops: ops}
	for range rounds {
		if err := r.round(ops); err != nil {
			return err
		}
	}
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return err
	}
	r.Peak = usage.Maxrss * 1024
	return json.NewEncoder(os.Stdout).Encode(r)
}

func (r *report) round(ops int) error {
	start := time.Now()
	st := graph(ops)
	built := time.Now()
	def, err := st.Marshal(context.Background(), llb.LinuxAmd64, llb.LocalUniqueID("bench"))
	if err != nil {
		return err
	}
	done := time.Now()
	r.Build = append(r.Build, built.Sub(start).Seconds())
	r.Marshal = append(r.Marshal, done.Sub(built).Seconds())
	r.Bytes = 0
	for _, dt := range def.Def {
		r.Bytes += len(dt)
	}
	r.Head, err = def.Head()
	return err
}

func graph(ops int) llb.State {
	src := llb.Local("src", llb.ExcludePatterns([]string{".git"}))
	st := llb.Image("docker.io/library/debian:12").AddEnv("LANG", "C.UTF-8").Dir("/srv")
	for i := 0; i < ops; i += 2 {
		n := strconv.Itoa(i)
		st = st.Run(
			llb.Args([]string{"sh", "-c", "make step-" + n}),
			llb.AddEnv("STEP", n),
			llb.AddEnv("JOBS", "4"),
			llb.AddMount("/root/.cache", llb.Scratch(), llb.AsPersistentCacheDir("cache-"+strconv.Itoa(i%5), llb.CacheMountLocked)),
			llb.AddMount("/src", src, llb.Readonly),
		).Root().File(
			llb.Mkdir("/srv/"+n, 0o755, llb.WithParents(true)).Mkfile("/srv/"+n+"/done", 0o644, []byte("step "+n+"\n")),
		)
	}
	return st
}
