// Command api drives every RPC of every server service as each kind of caller:
// over the local socket, as admin, as agent, as downstream server and as
// nobody over TCP.
//
// Every line it prints is one JSON object about one call, for the test that
// started it. What a line says does not depend on keys, times or chance.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/spiffe/spire-api-sdk/proto/spire/api/types"
)

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: api SOCKET HOST:PORT TRUST_DOMAIN")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2], os.Args[3]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(socket, address, trustDomain string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	local, err := dialLocal(socket)
	if err != nil {
		return err
	}
	s := &site{ctx: ctx, address: address, td: trustDomain, local: caller{"local", local}}
	s.admin(s.local)
	if err := s.network(); err != nil {
		return err
	}
	return s.authorities()
}

// site is the server under test.
type site struct {
	ctx     context.Context
	address string
	td      string
	local   caller
}

// caller is a connection and the name of who uses it.
type caller struct {
	name string
	conn *grpc.ClientConn
}

// admin puts everything that an administrator may do to the server.
func (s *site) admin(by caller) {
	s.entries(by)
	s.agents(by)
	s.bundles(by)
	s.svids(by)
	s.trustDomains(by)
	s.housekeeping(by)
}

// network puts the same, and what only agents may do, over TCP.
func (s *site) network() error {
	admin, err := s.dialAdmin("admin")
	if err != nil {
		return err
	}
	s.admin(admin)
	s.agentOnly(admin, nil)
	nobody, err := s.dial("nobody", nil)
	if err != nil {
		return err
	}
	s.nobody(nobody)
	s.attestation(nobody)
	if err := s.asAgent(nobody); err != nil {
		return err
	}
	return s.asDownstream()
}

// authorities comes last: it takes the ground from under the SVIDs of others.
func (s *site) authorities() error {
	s.localAuthority(s.local)
	admin, err := s.dialAdmin("admin")
	if err != nil {
		return err
	}
	s.localAuthority(admin)
	return nil
}

// call makes one call and prints what came of it.
func (s *site) call(by caller, method, name string, f func(context.Context) (string, error)) {
	ctx, cancel := context.WithTimeout(s.ctx, 20*time.Second)
	defer cancel()
	result, err := f(ctx)
	code := status.Code(err)
	if code == codes.Unknown && err != nil {
		if _, isStatus := status.FromError(err); !isStatus {
			result = err.Error()
		}
	}
	service, rpc, _ := strings.Cut(method, "/")
	line, _ := json.Marshal(map[string]string{
		"caller":  by.name,
		"service": service,
		"method":  rpc,
		"case":    name,
		"code":    code.String(),
		"message": status.Convert(err).Message(),
		"result":  result,
	})
	fmt.Println(string(line))
}

// ask fits a unary call into what call wants.
func ask[Q, A any](f func(context.Context, Q, ...grpc.CallOption) (A, error), request Q, tell func(A) string) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		answer, err := f(ctx, request)
		if err != nil {
			return "", err
		}
		return tell(answer), nil
	}
}

// nothing is for answers whose code says it all.
func nothing[A any](A) string { return "" }

type withStatus interface{ GetStatus() *types.Status }

// statuses names the codes of the items of a batch.
func statuses[T withStatus](items []T) string {
	var names []string
	for _, item := range items {
		names = append(names, codes.Code(uint32(item.GetStatus().GetCode())).String())
	}
	return strings.Join(names, " ")
}

func (s *site) id(path string) *types.SPIFFEID {
	return &types.SPIFFEID{TrustDomain: s.td, Path: path}
}

func foreign(path string) *types.SPIFFEID {
	return &types.SPIFFEID{TrustDomain: "elsewhere.test", Path: path}
}
