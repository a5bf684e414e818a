// Command patternvectors asks Go's own pattern code what it makes of many patterns and paths, and prints the
// answers, one JSON object a line. The Python implementation is tested against the output.
//
//	patternvectors hand        patterns times paths, and ordered lists of patterns
//	patternvectors generated   random lists of patterns and paths, always the same ones
//	patternvectors ignorefile  random ignore files
//	patternvectors match       filepath.Match on random patterns and names
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"log"
	"math/rand"
	"os"
	"path/filepath"
	"strings"

	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"
)

// Case is one list of patterns with the verdicts on some paths: 1 matched, 0 not, E an error.
type Case struct {
	Patterns []string `json:"p"`
	Error    bool     `json:"e,omitempty"` // the list itself is refused
	Paths    []string `json:"f,omitempty"`
	Whole    string   `json:"m,omitempty"` // MatchesOrParentMatches
	Walked   string   `json:"u,omitempty"` // MatchesUsingParentResults, directory by directory
}

// verdict says what came out of one question.
func verdict(matched bool, err error) byte {
	switch {
	case err != nil:
		return 'E'
	case matched:
		return '1'
	}
	return '0'
}

// walked asks for each directory above the path first, as a walk does.
func walked(pm *patternmatcher.PatternMatcher, path string) byte {
	var info patternmatcher.MatchInfo
	var matched bool
	var err error
	parts := strings.Split(path, "/")
	for i := range parts {
		matched, info, err = pm.MatchesUsingParentResults(strings.Join(parts[:i+1], "/"), info)
		if err != nil {
			break
		}
	}
	return verdict(matched, err)
}

func newCase(patterns, paths []string) Case {
	c := Case{Patterns: patterns}
	pm, err := patternmatcher.New(patterns)
	if err != nil {
		c.Error = true
		return c
	}
	c.Paths = paths
	whole := make([]byte, 0, len(paths))
	steps := make([]byte, 0, len(paths))
	for _, path := range paths {
		whole = append(whole, verdict(pm.MatchesOrParentMatches(path)))
		steps = append(steps, walked(pm, path))
	}
	c.Whole, c.Walked = string(whole), string(steps)
	return c
}

var handPatterns = []string{
	"a", "a/b", "a/b/c", "/a", "./a", "a/", "a//b", "a/../b", "..", "../a", ".", "/", "", " a ", "\ta", "a b",
	"*", "**", "*/", "**/", "/**", "/*", "a/*", "a/**", "a/**/", "*/a", "**/a", "*/*", "**/*", "*/**", "**/**",
	"a/*/c", "a/**/c", "**/b/**", "**/b/c", "**/*.go", "*.go", "**.go", "a*", "*a", "*a*", "a**", "a**b", "a**/b",
	"**a", "**a**", "?", "??", "a?", "?/b", "a/?", "[ab]", "[a-c]", "[^a]", "[!a]", "[]a]", "[a", "a]", "[a-]",
	"[-a]", "[z-a]", "[^]", "[]", "[a-c]/*", "[[:alpha:]]", "[[:^alpha:]]", "[[:bad:]]", "\\a", "\\*", "a\\",
	"\\\\", "\\d", "\\D", "\\w+", "\\s", "\\x61", "\\x{61}", "\\141", "\\1", "\\pL", "\\PL", "\\Qa*\\E", "\\bfoo\\b",
	"\\Aa", "a\\z", "\\é", "a.b", "a+b", "a(b", "a)b", "(a)", "a$", "$", "^a", "^", "a|b", "a|b*", "a*|b", "|", "|*",
	"a{2}", "a{2}*", "a{1,2}*", "a{,2}*", "a{2}{3}*", "{2}*", "{a,b}", "{a,b}*", "a{1001}*", "}", "*}", "{*",
	"#a", "\\#a", "!a", "!", "! a", "!!a", "!/a", "!./a", "!*", "!**/a", "!a/**", "!\\!a", "!a/b/c", "!*.go",
	"é", "*é", "?é", "[é]", "[^é]", "世/*", "😀", "[😀]*", "a\nb", "a*b", "\ufeffa", "\ufeff*", "\ufeff**a", "\ufeff",
	"node_modules", "**/node_modules", "**/node_modules/**", ".git", ".*", "**/.*", "**/*~", "a/b/*.txt", "**/*.t?t",
	"docs/**/README.md", "docs/*/README.md", "*/*/c", "**/a/**/c", "*[a]*", "[*]", "[**]", "[?]", "[a*b]", "[.]", "[(]",
	"a/.", "a/..", "a/./b", "foo.bar", "foo[.]bar", "foo-bar", "foo_bar", "a,b", "a'b", "a\"b", "a%b", "a\x7f", "a\x01",
}

var handPaths = []string{
	"a", "b", "c", "aa", "ab", "a/b", "b/a", "a/b/c", "a/c", "b/c", "a/x/c", "a/x/y/c", "x/a", "x/y/a", "x/b/y", "x/b/c",
	"a.go", "x/a.go", "x/y.go/z", ".go", "a.b", "axb", "a+b", "aab", "a(b", "(a)", "a$", "$", "^a", "a|b", "|", "aa2", "a{2}",
	"{a,b}", "}", "#a", "!a", "-", "]", "[", "[a", "a]", "[]", "\\", "\\a", "*", "a*", "?", "**", "é", "aé", "世/x", "😀", "😀x",
	"a\nb", "x\n/a", "\n", "\ufeffa", "1", "d", "foo", "foo.bar", "foo-bar", "foo_bar", "fooxbar", "node_modules", "x/node_modules",
	"x/node_modules/y/z", ".git", ".git/x", "x/.hidden", "x~", "a/b/n.txt", "a/b/n.tXt", "docs/README.md", "docs/a/README.md",
	"docs/a/b/README.md", "a b", "a,b", "a/ ", " a",
}

// order lists the same patterns in orders that give different results.
var handLists = [][]string{
	{"*", "!a"}, {"!a", "*"}, {"*", "!a/b"}, {"**", "!a", "a/b"}, {"a", "!a/b", "a/b/c"}, {"a/**", "!a/b/**"},
	{"*", "!*.go", "a.go"}, {"**/*", "!**/*.go"}, {"docs", "!docs/**/README.md"}, {"a", "a"}, {"!a", "!a"},
	{"a", "!a", "a"}, {"a", "!*", "b"}, {"[z-a]", "a"}, {"a", "[z-a]"}, {"a", "![z-a]"}, {"", "a", " "}, {"", " "},
	{"**/node_modules", "!x/node_modules/y"}, {"*", "!x", "x/b", "!x/b/c"}, {"a/b", "a", "!a"}, {"x/**", "!x/b"},
	{"*/*", "!*/b"}, {"**", "!**/a/**"}, {".*", "!.git"}, {"*", "!!a"}, {"a|b*", "!b"}, {"foo", "*bar", "!foo-*"},
}

func hand(emit func(any)) {
	for _, p := range handPatterns {
		emit(newCase([]string{p}, handPaths))
	}
	for _, list := range handLists {
		emit(newCase(list, handPaths))
	}
	for i, p := range handPatterns {
		emit(newCase([]string{p, "!" + handPatterns[(i*7+3)%len(handPatterns)], handPatterns[(i*11+5)%len(handPatterns)]}, handPaths))
	}
}

var words = []string{"a", "b", "c", "foo", "bar", "x", ".git", "README.md", "é", "世", "a.go", "b.txt", "node_modules", "-", "~", "a b"}

var pieces = []string{
	"*", "**", "?", "/", "/", "/", "a", "b", "c", "foo", "x", ".", "..", "*.", "**/", "/**", "[a-c]", "[^a]", "[", "]", "[!b]", "[é]",
	"\\", "\\*", "\\d", "\\w", "\\.", "\\[", "\\pL", "\\Q", "\\E", "\\x61", "{", "}", "{2}", "{1,}", "|", "^", "$", "(", ")", "+", "-", "é", "世",
	" ", "#", "!", "go", "txt", "\n", "[[:alpha:]]", "a-", "node_modules", ".git", "README.md",
}

func pick(r *rand.Rand, from []string) string { return from[r.Intn(len(from))] }

func randomPattern(r *rand.Rand) string {
	var b strings.Builder
	if r.Intn(3) == 0 {
		b.WriteString("!")
	}
	if r.Intn(2) == 0 { // as people write them
		b.WriteString(pick(r, []string{"", "", "/", "**/", "*/", "./"}))
		for i := 0; i <= r.Intn(3); i++ {
			if i > 0 {
				b.WriteString("/")
			}
			b.WriteString(pick(r, []string{"*", "**", "*.go", "*.*", "a*", "?", "[ab]", pick(r, words), pick(r, words), pick(r, words)}))
		}
		b.WriteString(pick(r, []string{"", "", "", "/", "/**", "/*", "*", "**"}))
		return b.String()
	}
	for i := 0; i <= r.Intn(6); i++ {
		b.WriteString(pick(r, pieces))
	}
	return b.String()
}

func randomPath(r *rand.Rand) string {
	var parts []string
	for i := 0; i <= r.Intn(4); i++ {
		word := pick(r, words)
		if r.Intn(4) == 0 {
			word += pick(r, append([]string{"a", "1", ".go", "{", "|", "+", "\n"}, words...))
		}
		parts = append(parts, word)
	}
	return strings.Join(parts, "/")
}

func generated(emit func(any)) {
	r := rand.New(rand.NewSource(20240607))
	for range 1500 {
		patterns := make([]string, 1+r.Intn(5))
		for i := range patterns {
			patterns[i] = randomPattern(r)
		}
		paths := make([]string, 16)
		for i := range paths {
			paths[i] = randomPath(r)
		}
		emit(newCase(patterns, paths))
	}
}

func ignorefiles(emit func(any)) {
	r := rand.New(rand.NewSource(7))
	bits := []string{"\n", "\n", "\r\n", "#", "!", " ", "\t", "/", "/", "a", "b/c", "**", "..", ".", "\xef\xbb\xbf", "\u00a0", "\u2003", "\x1c", "\x0b", "\x00", "é", "# c", "! /x/", "//"}
	long := strings.Repeat("x", 65534)
	files := []string{"", "\n", "\xef\xbb\xbf#a\nb", "a\n" + long + "y\nb", "a\n" + long + "yz\nb", long + "y", long + "yz", "a\r", "\xef\xbb\xbf\xef\xbb\xbfa", "!\n! \n!/\n!//\n/\n"}
	for range 800 {
		var b strings.Builder
		for range r.Intn(14) {
			b.WriteString(pick(r, bits))
		}
		files = append(files, b.String())
	}
	for _, text := range files {
		patterns, err := ignorefile.ReadAll(strings.NewReader(text))
		emit(map[string]any{"t": text, "p": patterns, "e": err != nil})
	}
}

func matches(emit func(any)) {
	r := rand.New(rand.NewSource(11))
	bits := []string{"*", "*", "?", "?", "a", "b", "é", "世", "/", "[", "]", "[ab]", "[^a]", "[a-c]", "[^é]", "[!a]", "-", "^", "\\", "\\*", "\\a", "[\\]]", "[a-", "[-a]", "[]a]", "."}
	names := []string{"", "a", "b", "ab", "abc", "é", "aé", "世", "a世b", "a/b", "*", "[", "]", "-", "^", "\\", "a.b", "aab", "!", "世世", "😀"}
	for range 2000 {
		var b strings.Builder
		for i := 0; i <= r.Intn(6); i++ {
			b.WriteString(pick(r, bits))
		}
		results := make([]byte, len(names))
		for i, name := range names {
			results[i] = verdict(filepath.Match(b.String(), name))
		}
		emit(map[string]any{"p": b.String(), "f": names, "m": string(results)})
	}
}

func main() {
	out := bufio.NewWriter(os.Stdout)
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	emit := func(v any) {
		if err := encoder.Encode(v); err != nil {
			log.Fatal(err)
		}
	}
	kinds := map[string]func(func(any)){"hand": hand, "generated": generated, "ignorefile": ignorefiles, "match": matches}
	if len(os.Args) != 2 || kinds[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: patternvectors hand|generated|ignorefile|match")
		os.Exit(2)
	}
	kinds[os.Args[1]](emit)
	if err := out.Flush(); err != nil {
		log.Fatal(err)
	}
}
