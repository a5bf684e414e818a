package main

import (
	"math/rand/v2"
	"strings"

	"github.com/tonistiigi/go-csvvalue"
)

type csvCase struct {
	In  string   `json:"in"`
	Out []string `json:"out"` // null: an error
}

func csvCases() any {
	inputs := []string{
		"", "\n", "\r\n", "\r", ",", ",,", `"`, `""`, `"""`, `""""`, `"""""`, `"a"`, `"a,b"`, `a"b`, `a,"b`, `a,"b",`,
		"type=local,dest=out", `type=local,"dest=a,b"`, `"type=local","dest=a,b"`, `type=local,dest="a,b"`,
		`id=x,src=/tmp/a b`, ` type=local`, "type=local\n", "type=local\r\n", "type=local\n\n", "a\r", "é=ü,ß", "a\nb,c",
		"\"a\nb\",c", `"a""b"`, `"a" ,b`, `"a"b`, "name=a,,b", `"",""`, `,""`, `"",`, `a=b=c`, "=", "a", " ", "a\t,b",
	}
	rng := rand.New(rand.NewPCG(1, 2))
	atoms := []string{"a", "b", "=", ",", ",", `"`, `"`, `""`, " ", "é", "\n", "\r", "type", "x=y", `","`, "\u2028"}
	for len(inputs) < 3000 {
		var b strings.Builder
		for range 1 + rng.IntN(9) {
			b.WriteString(atoms[rng.IntN(len(atoms))])
		}
		inputs = append(inputs, b.String())
	}
	out := make([]csvCase, 0, len(inputs))
	for _, in := range inputs {
		fields, err := csvvalue.Fields(in, nil)
		if err != nil {
			fields = nil
		}
		out = append(out, csvCase{in, fields})
	}
	return out
}
