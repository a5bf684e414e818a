// Command solvebench runs cached solves of one graph through one Go client and prints the seconds of each as JSON.
//
//	solvebench ADDRESS ROUNDS CONCURRENCY < definition
//
// Each round starts CONCURRENCY solves at once and waits for all. The first rounds are not counted, fifty of one solve each and
// fewer of more: a service has been running for a while.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/client/llb"
	"golang.org/x/sync/errgroup"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	if len(os.Args) != 4 {
		return fmt.Errorf("usage: solvebench ADDRESS ROUNDS CONCURRENCY < definition")
	}
	rounds, err := strconv.Atoi(os.Args[2])
	if err != nil {
		return err
	}
	concurrency, err := strconv.Atoi(os.Args[3])
	if err != nil {
		return err
	}
	def, err := llb.ReadFrom(os.Stdin)
	if err != nil {
		return err
	}
	ctx := context.Background()
	c, err := client.New(ctx, os.Args[1])
	if err != nil {
		return err
	}
	defer c.Close()
	var seconds []float64
	warm := max(1, min(50, 100/concurrency))
	for round := range rounds + warm {
		start := time.Now()
		eg, ctx := errgroup.WithContext(ctx)
		for range concurrency {
			eg.Go(func() error {
				ch := make(chan *client.SolveStatus)
				done := make(chan struct{})
				go func() {
					defer close(done)
					for range ch {
					}
				}()
				_, err := c.Solve(ctx, def, client.SolveOpt{}, ch)
				<-done
				return err
			})
		}
		if err := eg.Wait(); err != nil {
			return err
		}
		if round >= warm {
			seconds = append(seconds, time.Since(start).Seconds())
		}
	}
	return json.NewEncoder(os.Stdout).Encode(seconds)
}
