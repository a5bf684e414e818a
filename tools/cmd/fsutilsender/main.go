// fsutilsender sends a directory by fsutil's protocol over its standard streams: the other end of the
// receiver's tests.
//
// Each message is a packet with its length before it, four bytes, big endian. The process exits with 0 when
// the receiver's FIN was answered, else with 1 and the error on standard error.
package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/tonistiigi/fsutil"
	"github.com/tonistiigi/fsutil/types"
)

const maxMessage = 16 << 20

type stream struct {
	ctx context.Context
	in  *bufio.Reader
	out *bufio.Writer
	mu  sync.Mutex
}

func (s *stream) Context() context.Context { return s.ctx }

func (s *stream) RecvMsg(m any) error {
	var head [4]byte
	if _, err := io.ReadFull(s.in, head[:]); err != nil {
		return err
	}
	size := binary.BigEndian.Uint32(head[:])
	if size > maxMessage {
		return fmt.Errorf("a message of %d bytes", size)
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(s.in, body); err != nil {
		return err
	}
	return m.(*types.Packet).UnmarshalVT(body)
}

func (s *stream) SendMsg(m any) error {
	body, err := m.(*types.Packet).MarshalVT()
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var head [4]byte
	binary.BigEndian.PutUint32(head[:], uint32(len(body)))
	if _, err := s.out.Write(head[:]); err != nil {
		return err
	}
	if _, err := s.out.Write(body); err != nil {
		return err
	}
	return s.out.Flush()
}

func run() error {
	if len(os.Args) != 2 {
		return fmt.Errorf("usage: fsutilsender DIRECTORY")
	}
	fs, err := fsutil.NewFS(os.Args[1])
	if err != nil {
		return err
	}
	s := &stream{ctx: context.Background(), in: bufio.NewReader(os.Stdin), out: bufio.NewWriter(os.Stdout)}
	return fsutil.Send(s.ctx, s, fs, nil)
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "fsutilsender:", err)
		os.Exit(1)
	}
}
