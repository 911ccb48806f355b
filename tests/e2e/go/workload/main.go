// Command workload is a workload that uses go-spiffe: it serves and dials
// mTLS, fetches and validates tokens, and watches its own updates.
//
// Every line it prints is one JSON object, for the test that started it.
package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"strconv"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/jwtbundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"
	"github.com/spiffe/go-spiffe/v2/svid/jwtsvid"
	"github.com/spiffe/go-spiffe/v2/workloadapi"
)

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("usage: workload serve|dial|x509|jwt|validate|watch …")
	}
	switch command, rest := args[0], args[1:]; command {
	case "serve":
		return serve(ctx, rest[0], rest[1])
	case "dial":
		seconds, err := strconv.Atoi(rest[2])
		if err != nil {
			return err
		}
		return dial(ctx, rest[0], rest[1], time.Duration(seconds)*time.Second)
	case "x509":
		return x509(ctx)
	case "jwt":
		return jwt(ctx, rest[0])
	case "validate":
		return validate(ctx, rest[0], rest[1])
	case "watch":
		updates, err := strconv.Atoi(rest[0])
		if err != nil {
			return err
		}
		return watch(ctx, updates)
	default:
		return fmt.Errorf("unknown command %q", command)
	}
}

func say(fields map[string]any) {
	line, _ := json.Marshal(fields)
	fmt.Println(string(line))
}

// serve answers each connection with one line and keeps the authorizer strict.
func serve(ctx context.Context, address, peer string) error {
	source, err := workloadapi.NewX509Source(ctx)
	if err != nil {
		return err
	}
	defer source.Close()
	id, err := spiffeid.FromString(peer)
	if err != nil {
		return err
	}
	listener, err := tls.Listen("tcp", address, tlsconfig.MTLSServerConfig(source, source, tlsconfig.AuthorizeID(id)))
	if err != nil {
		return err
	}
	say(map[string]any{"listening": listener.Addr().String()})
	for {
		conn, err := listener.Accept()
		if err != nil {
			return err
		}
		go answer(conn)
	}
}

func answer(conn net.Conn) {
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(60 * time.Second))
	reader := bufio.NewReader(conn)
	for {
		line, err := reader.ReadString('\n')
		if err != nil {
			return
		}
		if _, err := conn.Write([]byte("echo " + line)); err != nil {
			return
		}
	}
}

// dial shakes hands anew every 200 ms and says how often its own and the
// peer's certificates changed.
func dial(ctx context.Context, address, peer string, length time.Duration) error {
	source, err := workloadapi.NewX509Source(ctx)
	if err != nil {
		return err
	}
	defer source.Close()
	id, err := spiffeid.FromString(peer)
	if err != nil {
		return err
	}
	config := tlsconfig.MTLSClientConfig(source, source, tlsconfig.AuthorizeID(id))
	own, theirs, issuers := map[string]bool{}, map[string]bool{}, map[string]bool{}
	handshakes := 0
	for end := time.Now().Add(length); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		svid, err := source.GetX509SVID()
		if err != nil {
			return err
		}
		own[svid.Certificates[0].SerialNumber.String()] = true
		conn, err := tls.Dial("tcp", address, config)
		if err != nil {
			return fmt.Errorf("handshake %d: %w", handshakes, err)
		}
		leaf := conn.ConnectionState().PeerCertificates[0]
		theirs[leaf.SerialNumber.String()] = true
		issuers[string(leaf.AuthorityKeyId)] = true
		if _, err := conn.Write([]byte("hello\n")); err != nil {
			return fmt.Errorf("write %d: %w", handshakes, err)
		}
		line, err := bufio.NewReader(conn).ReadString('\n')
		if err != nil || line != "echo hello\n" {
			return fmt.Errorf("read %d: %q %w", handshakes, line, err)
		}
		conn.Close()
		handshakes++
	}
	say(map[string]any{"handshakes": handshakes, "own": len(own), "peer": len(theirs), "issuers": len(issuers)})
	return nil
}

func x509(ctx context.Context) error {
	svids, err := workloadapi.FetchX509SVIDs(ctx)
	if err != nil {
		return err
	}
	for _, svid := range svids {
		say(map[string]any{"spiffe_id": svid.ID.String(), "hint": svid.Hint, "serial": svid.Certificates[0].SerialNumber.String()})
	}
	return nil
}

func jwt(ctx context.Context, audience string) error {
	svid, err := workloadapi.FetchJWTSVID(ctx, jwtsvid.Params{Audience: audience})
	if err != nil {
		return err
	}
	say(map[string]any{"spiffe_id": svid.ID.String(), "token": svid.Marshal()})
	return nil
}

// validate asks the agent and checks by itself with the bundles it is given.
func validate(ctx context.Context, audience, token string) error {
	remote, err := workloadapi.ValidateJWTSVID(ctx, token, audience)
	if err != nil {
		return fmt.Errorf("agent: %w", err)
	}
	var bundles *jwtbundle.Set
	if bundles, err = workloadapi.FetchJWTBundles(ctx); err != nil {
		return err
	}
	local, err := jwtsvid.ParseAndValidate(token, bundles, []string{audience})
	if err != nil {
		return fmt.Errorf("local: %w", err)
	}
	say(map[string]any{"remote": remote.ID.String(), "local": local.ID.String()})
	return nil
}

type watcher struct{ updates chan string }

func (w watcher) OnX509ContextUpdate(c *workloadapi.X509Context) {
	w.updates <- c.DefaultSVID().Certificates[0].SerialNumber.String()
}

func (w watcher) OnX509ContextWatchError(err error) { fmt.Fprintln(os.Stderr, err) }

func watch(ctx context.Context, updates int) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	w := watcher{make(chan string, 16)}
	go func() { _ = workloadapi.WatchX509Context(ctx, w) }()
	seen := map[string]bool{}
	for len(seen) < updates {
		select {
		case serial := <-w.updates:
			if !seen[serial] {
				seen[serial] = true
				say(map[string]any{"serial": serial})
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}
