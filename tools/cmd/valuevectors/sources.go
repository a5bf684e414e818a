package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/moby/buildkit/solver/errdefs"
	"github.com/moby/buildkit/solver/pb"
)

type sourceCase struct {
	JSON string `json:"json"` // the detail as it stands on the wire (C51)
	Text string `json:"text"` // what Print writes (C54)
}

func sourceCases() any {
	rng := rand.New(rand.NewPCG(7, 8))
	out := []sourceCase{oneSource(&errdefs.Source{}), oneSource(&errdefs.Source{Info: &pb.SourceInfo{Filename: "x"}})}
	for len(out) < 1500 {
		n := 1 + rng.IntN(14)
		if rng.IntN(250) == 0 {
			n = 990 + rng.IntN(30)
		}
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "%s %d", []string{"RUN step", "COPY a b", "\tx", "", "é <&>", "a\r"}[rng.IntN(6)], i)
			if i < n-1 || rng.IntN(2) == 0 {
				b.WriteByte('\n')
			}
		}
		s := &errdefs.Source{Info: &pb.SourceInfo{Filename: []string{"Dockerfile", "a/b.Dockerfile", ""}[rng.IntN(3)], Data: []byte(b.String()), Language: "Dockerfile"}}
		for range rng.IntN(4) {
			start := rng.IntN(n+4) - 1
			end := start + rng.IntN(5) - 1
			s.Ranges = append(s.Ranges, &pb.Range{
				Start: &pb.Position{Line: int32(start), Character: int32(rng.IntN(5))},
				End:   &pb.Position{Line: int32(end), Character: int32(rng.IntN(5))},
			})
		}
		out = append(out, oneSource(s))
	}
	return out
}

func oneSource(s *errdefs.Source) sourceCase {
	dt, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	var buf bytes.Buffer
	if err := s.Print(&buf); err != nil {
		panic(err)
	}
	return sourceCase{string(dt), buf.String()}
}
