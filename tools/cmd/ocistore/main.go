// ocistore does to an OCI layout what Go's clients do, for tests of ours against it: containerd's local content
// store, BuildKit's index.json, containerd's filters.
package main

import (
	"bufio"
	"context"
	_ "crypto/sha256"
	_ "crypto/sha512"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sort"
	"strings"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/pkg/filters"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/moby/buildkit/client/ociindex"
	"github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
)

const usage = `usage: ocistore list DIR          blobs and unfinished writes, as JSON
       ocistore write DIR REF     write standard input under a reference, and do not commit
       ocistore commit DIR REF    go on with it, and commit
       ocistore put DIR DESC NAME...   add a descriptor to index.json; a NAME is name:... or tag:...
       ocistore get DIR TAG       what index.json has for a tag
       ocistore filters           for each line {"filters": [...], "fields": {...}}: true, false or an error`

type fields map[string]string

func (f fields) Field(path []string) (string, bool) {
	value, ok := f[strings.Join(path, ".")]
	return value, ok
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "ocistore:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 1 && args[0] == "filters" {
		return matchAll()
	}
	if len(args) < 2 {
		return fmt.Errorf("%s", usage)
	}
	switch dir := args[1]; args[0] {
	case "list":
		return list(dir)
	case "write", "commit":
		return write(dir, args[2], args[0] == "commit")
	case "put":
		return put(dir, args[2], args[3:])
	case "get":
		desc, err := ociindex.NewStoreIndex(dir).Get(args[2])
		if err != nil {
			return err
		}
		return json.NewEncoder(os.Stdout).Encode(desc)
	}
	return fmt.Errorf("%s", usage)
}

func list(dir string) error {
	ctx := context.Background()
	store, err := local.NewStore(dir)
	if err != nil {
		return err
	}
	blobs := map[string]int64{}
	if err := store.Walk(ctx, func(info content.Info) error {
		blobs[info.Digest.String()] = info.Size
		return nil
	}); err != nil {
		return err
	}
	statuses, err := store.ListStatuses(ctx)
	if err != nil {
		return err
	}
	sort.Slice(statuses, func(i, j int) bool { return statuses[i].Ref < statuses[j].Ref })
	ingests := []map[string]any{}
	for _, status := range statuses {
		ingests = append(ingests, map[string]any{
			"ref": status.Ref, "offset": status.Offset, "total": status.Total,
			"started": status.StartedAt.UnixNano(), "updated": status.UpdatedAt.UnixNano(),
		})
	}
	return json.NewEncoder(os.Stdout).Encode(map[string]any{"blobs": blobs, "ingests": ingests})
}

func write(dir, ref string, commit bool) error {
	ctx := context.Background()
	store, err := local.NewStore(dir)
	if err != nil {
		return err
	}
	writer, err := store.Writer(ctx, content.WithRef(ref))
	if err != nil {
		return err
	}
	defer writer.Close()
	if _, err := io.Copy(writer, os.Stdin); err != nil {
		return err
	}
	if !commit {
		return nil
	}
	if err := writer.Commit(ctx, 0, ""); err != nil {
		return err
	}
	fmt.Println(writer.Digest())
	return nil
}

func put(dir, descriptor string, names []string) error {
	var desc ocispecs.Descriptor
	if err := json.Unmarshal([]byte(descriptor), &desc); err != nil {
		return err
	}
	if err := desc.Digest.Validate(); err != nil && desc.Digest != digest.Digest("") {
		return err
	}
	var given []ociindex.NameOrTag
	for _, name := range names {
		if value, ok := strings.CutPrefix(name, "tag:"); ok {
			given = append(given, ociindex.Tag(value))
		} else {
			given = append(given, ociindex.Name(strings.TrimPrefix(name, "name:")))
		}
	}
	return ociindex.NewStoreIndex(dir).Put(desc, given...)
}

func matchAll() error {
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var question struct {
			Filters []string
			Fields  fields
		}
		if err := json.Unmarshal(lines.Bytes(), &question); err != nil {
			return err
		}
		filter, err := filters.ParseAll(question.Filters...)
		if err != nil {
			fmt.Println("error")
			continue
		}
		fmt.Println(filter.Match(question.Fields))
	}
	return lines.Err()
}
