package main

import (
	"bytes"

	controlapi "github.com/moby/buildkit/api/services/control"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/cmd/buildctl/common"
)

type templateCase struct {
	Data     string `json:"data"`
	Template string `json:"template"`
	Out      string `json:"out"`
	OK       bool   `json:"ok"`
}

// templates by the value they are for; "any" is run over all.
var templates = map[string][]string{
	"any": {
		"", "text", "json", "{{json .}}", "a{{/* comment */}}b", "a {{- /* c */ -}} b", "  {{- \"x\" -}}  ", "{{ 1 }}", "{{1.5}}", "{{1e3}}",
		"{{-3}}", "{{+3}}", "{{0x1F}}", "{{'a'}}", "{{\"q\\\"\\n\\t\\u00e9\"}}", "{{`raw\\n`}}", "{{true}}{{false}}", "{{print nil}}", "{{nil}}",
		"{{len \"abé\"}}", "{{\"a\" | len}}", "{{print 1 2 \"a\" 3 4}}", "{{println 1 \"a\" true}}", "{{printf \"%d|%5d|%-5d|%05d|%x|%X|%#x|%o|%b\" 7 7 7 7 255 255 255 8 5}}",
		"{{printf \"%s|%10s|%-10s|%q|%v|%.2s|%x\" \"ab\" \"ab\" \"ab\" \"a\\\"b\" \"ab\" \"abc\" \"ab\"}}", "{{printf \"%t|%v|%%\" true false}}",
		"{{printf \"%f|%.2f|%8.3f|%e|%g|%v\" 1.5 1.5 1.5 1.5 1.5 1.5}}", "{{printf \"%c|%*d\" 65 6 42}}", "{{printf \"%d\" \"x\"}}",
		"{{if true}}y{{else}}n{{end}}", "{{if false}}y{{else}}n{{end}}", "{{if 0}}y{{else if \"\"}}m{{else if 1}}e{{else}}n{{end}}", "{{if not 0}}y{{end}}",
		"{{if and 1 \"x\"}}y{{end}}", "{{if or 0 \"\"}}y{{else}}n{{end}}", "{{and 1 0 2}}|{{or 0 \"\" 3}}", "{{with 0}}y{{else}}n{{end}}", "{{with \"x\"}}{{.}}{{end}}",
		"{{with 0}}a{{else with 5}}{{.}}{{end}}", "{{range 3}}{{.}},{{end}}", "{{range $i := 3}}{{$i}},{{end}}", "{{range 0}}x{{else}}none{{end}}",
		"{{range 5}}{{if eq . 1}}{{continue}}{{end}}{{if eq . 3}}{{break}}{{end}}{{.}}{{end}}", "{{$x := 1}}{{$x}}{{$x = 2}}{{$x}}", "{{$x := 1}}{{if true}}{{$x = 5}}{{end}}{{$x}}",
		"{{$x := 1}}{{if true}}{{$x := 5}}{{$x}}{{end}}{{$x}}", "{{eq 1 1}}{{eq 1 2 1}}{{ne 1 2}}{{lt 1 2}}{{le 2 2}}{{gt 1 2}}{{ge 2 2}}", "{{eq \"a\" \"a\"}}{{lt \"a\" \"b\"}}",
		"{{eq 1 \"a\"}}", "{{lt 1 \"a\"}}", "{{slice \"abcdef\" 1 3}}{{slice \"abcdef\" 2}}{{slice \"abc\"}}", "{{slice \"abc\" 2 9}}", "{{index \"abc\" 1}}", "{{index \"abc\" 9}}",
		"{{html \"<a href=\\\"x\\\">'&\"}}", "{{urlquery \"a b&c/d~e\"}}", "{{(len \"abc\")}}", "{{printf \"%v\" (and 1 (or 0 2))}}", "{{json \"<&>\"}}{{json 1}}{{json true}}",
		"{{", "}}", "{{}}", "{{end}}", "{{if}}x{{end}}", "{{if 1}}x", "{{else}}", "{{range}}{{end}}", "{{nope 1}}", "{{1 2}}", "{{\"a\" 1}}", "{{$y}}", "{{$y = 1}}",
		"{{break}}", "{{1 | 2}}", "{{|}}", "{{1 |}}", "{{\"unclosed}}", "{{'ab'}}", "{{len 1}}", "{{len}}", "{{not}}", "{{eq 1}}", "{{ne 1}}", "{{lt 1}}", "{{range 2}}{{else}}{{else}}{{end}}",
		"{{if 1}}{{else}}{{else}}{{end}}", "{{\"}}\"}}", "{{`}}`}}", "{{- 3 -}}", "x{{-3}}", "{{/* a */}}", "{{/* a}}", "{{(1}}", "{{1)}}", "{{.A.B}}", "{{index 1 2}}",
		"{{len \"a\" | printf \"%03d\"}}", "{{\"a\" | printf \"%s-%s\" \"b\"}}", "{{with $x := 3}}{{$x}}{{end}}", "{{if $x := 3}}{{$x}}{{end}}", "{{$a := 1}}{{$b := $a}}{{$b}}",
		"a\n{{- \"b\" }}\n  {{- \"c\"}}", "{{\"\\x41\\101\"}}", "{{1_000}}", "{{0b11}}{{0o17}}", "{{1.}}", "{{.5}}", "{{print (1)}}", "{{print (print 1) 2}}", "{{len (slice \"abc\" 1)}}",
	},
	"usages": {
		"{{len .}}", "{{range .}}{{.ID}} {{.Size}} {{.Mutable}} {{.InUse}} {{.Shared}} {{.UsageCount}} {{.RecordType}}{{println}}{{end}}",
		"{{range .}}{{.CreatedAt}}|{{.LastUsedAt}}|{{.Parents}}|{{.Description}};{{end}}", "{{range $i, $r := .}}{{$i}}:{{$r.ID}} {{end}}", "{{(index . 1).ID}}",
		"{{with index . 1}}{{.ID}}{{range .Parents}} {{.}}{{end}}{{end}}", "{{range .}}{{json .}}{{end}}", "{{range .}}{{if .LastUsedAt}}{{.ID}}{{else}}never{{end}};{{end}}",
		"{{range .}}{{if eq .RecordType \"regular\"}}{{.ID}}{{end}}{{end}}", "{{range .}}{{if gt .Size 5}}{{.ID}}{{end}}{{end}}", "{{range .}}{{join .Parents \",\"}}{{end}}",
		"{{range .}}{{printf \"%-10s|%8d|%v|%v\" .ID .Size .CreatedAt .LastUsedAt}}{{end}}", "{{.ID}}", "{{range .}}{{.Nope}}{{end}}", "{{range .}}{{len .Parents}}{{len .ID}}{{end}}",
		"{{(index . 0).Parents}}", "{{index . 9}}", "{{index . 1 2}}", "{{range slice . 1}}{{.ID}}{{end}}", "{{with (index . 1)}}{{.Parents | json}}{{end}}",
		"{{range .}}{{range .Parents}}{{.}}{{else}}no parents{{end}};{{end}}", "{{$first := index . 0}}{{$first.ID}}", "{{range .}}{{not .Mutable}}{{end}}",
		"{{range .}}{{and .Mutable .ID}};{{or .Mutable .ID}};{{end}}", "{{range .}}{{html .Description}}{{urlquery .Description}}{{end}}", "{{range .}}{{eq .CreatedAt .CreatedAt}}{{end}}",
	},
	"usage": {"{{.}}", "{{.ID}}", "{{.Size}}", "{{.Parents}}", "{{.Nope}}", "{{.ID.Nope}}", "{{print .}}", "{{printf \"%v\" .}}", "{{.CreatedAt}}", "{{json .LastUsedAt}}"},
	"info":  {"{{.}}", "{{print .}}", "{{.BuildkitVersion}}", "{{.BuildkitVersion.Version}}", "{{with .BuildkitVersion}}{{.Package}}{{end}}", "{{.BuildkitVersion.DockerfileVersion}}|", "{{.Version}}", "{{json .BuildkitVersion}}"},
	"workers": {
		"{{range .}}{{.ID}}{{.Labels}}{{.Platforms}}{{.GCPolicy}}{{.BuildkitVersion}}{{.CDIDevices}};{{end}}", "{{(index . 0).Labels.a}}", "{{index (index . 0).Labels \"b\"}}", "{{(index . 0).Labels.none}}",
		"{{index (index . 0).Labels \"none\"}}|", "{{range $k, $v := (index . 0).Labels}}{{$k}}={{$v}},{{end}}", "{{range .}}{{range .Platforms}}{{.OS}}/{{.Architecture}}{{with .Variant}}/{{.}}{{end}} {{end}}{{end}}",
		"{{range .}}{{range .GCPolicy}}{{.KeepDuration}} {{.All}} {{.Filter}}{{end}}{{end}}", "{{range .}}{{json .GCPolicy}}{{json .Platforms}}{{json .CDIDevices}}{{json .Labels}}{{end}}", "{{range .}}{{len .Labels}}{{end}}",
		"{{range .}}{{if .Labels}}y{{else}}n{{end}}{{end}}", "{{with (index (index . 0).GCPolicy 0)}}{{printf \"%d %s %v\" .KeepDuration .KeepDuration .KeepDuration}}{{end}}",
	},
	"event": {
		"{{.Type}}", "{{.Record.Ref}}", "{{.Record.Frontend}} {{.Record.FrontendAttrs.target}}", "{{json .}}", "{{json .Record.Result}}", "{{.Record.Pinned}} {{.Record.Generation}} {{.Record.NumWarnings}}",
		"{{.Record.CreatedAt.Seconds}}", "{{.Record.Error.Message}}", "{{if .Record.Trace}}y{{else}}n{{end}}", "{{.Record.Trace}}", "{{range .Record.Exporters}}{{.Type}} {{.Attrs}};{{end}}",
		"{{range $k, $v := .Record.Results}}{{$k}} {{len $v.Attestations}}{{end}}", "{{.Record.Logs.Digest}}", "{{.Record.Nope}}", "{{printf \"%s %d\" .Type .Type}}", "{{.Record.FrontendAttrs}}", "{{eq .Type 1}}",
		"{{len .Record.Exporters}}", "{{.Record.Trace.Digest}}",
	},
	"started": {"{{.Type}} {{.Record.Ref}}", "{{json .}}", "{{.Record.CreatedAt}}|{{.Record.FrontendAttrs}}|{{.Record.Exporters}}|{{.Record.Error}}"},
}

func templateCases() []templateCase {
	var infos []*client.UsageInfo = usage()
	data := map[string]any{
		"usages": infos, "usage": *infos[1], "info": info(), "workers": workers(), "event": event(),
		"started": &controlapi.BuildHistoryEvent{Record: &controlapi.BuildHistoryRecord{Ref: "s"}},
	}
	var out []templateCase
	for _, name := range []string{"usages", "usage", "info", "workers", "event", "started"} {
		texts := templates[name]
		if name == "info" {
			texts = append(texts, templates["any"]...)
		}
		for _, text := range texts {
			out = append(out, run(name, text, data[name]))
		}
	}
	return out
}

func run(name, text string, data any) (c templateCase) {
	c = templateCase{Data: name, Template: text}
	tmpl, err := common.ParseTemplate(text)
	if err != nil {
		return c
	}
	var buf bytes.Buffer
	if err := tmpl.Execute(&buf, data); err != nil {
		return c
	}
	c.Out, c.OK = buf.String(), true
	return c
}
