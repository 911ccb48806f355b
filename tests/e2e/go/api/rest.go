package main

import (
	"context"
	"fmt"

	"google.golang.org/grpc/health/grpc_health_v1"

	agentv1 "github.com/spiffe/spire-api-sdk/proto/spire/api/server/agent/v1"
	bundlev1 "github.com/spiffe/spire-api-sdk/proto/spire/api/server/bundle/v1"
	debugv1 "github.com/spiffe/spire-api-sdk/proto/spire/api/server/debug/v1"
	entryv1 "github.com/spiffe/spire-api-sdk/proto/spire/api/server/entry/v1"
	loggerv1 "github.com/spiffe/spire-api-sdk/proto/spire/api/server/logger/v1"
	"github.com/spiffe/spire-api-sdk/proto/spire/api/types"
)

// housekeeping is there on the local socket only.
func (s *site) housekeeping(by caller) {
	logger := loggerv1.NewLoggerClient(by.conn)
	tell := func(l *types.Logger) string { return fmt.Sprintf("%v of %v", l.CurrentLevel, l.LaunchLevel) }
	s.call(by, "Logger/GetLogger", "good", ask(logger.GetLogger, &loggerv1.GetLoggerRequest{}, tell))
	set := func(name string, level types.LogLevel) {
		s.call(by, "Logger/SetLogLevel", name, ask(logger.SetLogLevel, &loggerv1.SetLogLevelRequest{NewLevel: level}, tell))
	}
	set("good", types.LogLevel_WARN)
	set("none", types.LogLevel_UNSPECIFIED)
	set("unknown", types.LogLevel(99))
	s.call(by, "Logger/ResetLogLevel", "good", ask(logger.ResetLogLevel, &loggerv1.ResetLogLevelRequest{}, tell))

	s.call(by, "Debug/GetInfo", "good", ask(debugv1.NewDebugClient(by.conn).GetInfo, &debugv1.GetInfoRequest{}, func(r *debugv1.GetInfoResponse) string {
		return fmt.Sprintf("%s of %d", r.SvidChain[0].Id.Path, len(r.SvidChain))
	}))

	health := grpc_health_v1.NewHealthClient(by.conn)
	serving := func(r *grpc_health_v1.HealthCheckResponse) string { return r.Status.String() }
	s.call(by, "Health/Check", "good", ask(health.Check, &grpc_health_v1.HealthCheckRequest{}, serving))
	s.call(by, "Health/Check", "unknown service", ask(health.Check, &grpc_health_v1.HealthCheckRequest{Service: "nobody"}, serving))
	s.call(by, "Health/Watch", "good", func(ctx context.Context) (string, error) {
		stream, err := health.Watch(ctx, &grpc_health_v1.HealthCheckRequest{})
		if err != nil {
			return "", err
		}
		answer, err := stream.Recv()
		return answer.GetStatus().String(), err
	})
	s.call(by, "Nobody/Nothing", "unknown service", func(ctx context.Context) (string, error) {
		return "", by.conn.Invoke(ctx, "/nobody.v1.Nobody/Nothing", &types.Logger{}, &types.Logger{})
	})
	s.call(by, "Entry/Nothing", "unknown method", func(ctx context.Context) (string, error) {
		return "", by.conn.Invoke(ctx, "/spire.api.server.entry.v1.Entry/Nothing", &types.Logger{}, &types.Logger{})
	})
}

// nobody has no certificate and may do next to nothing.
func (s *site) nobody(by caller) {
	s.call(by, "Bundle/GetBundle", "open to all", ask(bundlev1.NewBundleClient(by.conn).GetBundle, &bundlev1.GetBundleRequest{}, func(b *types.Bundle) string { return b.TrustDomain }))
	c := entryv1.NewEntryClient(by.conn)
	s.call(by, "Entry/ListEntries", "as nobody", ask(c.ListEntries, &entryv1.ListEntriesRequest{}, nothing))
	s.call(by, "Agent/CreateJoinToken", "as nobody", ask(agentv1.NewAgentClient(by.conn).CreateJoinToken, &agentv1.CreateJoinTokenRequest{Ttl: 60}, nothing))
	s.agentOnly(by, nil)
	s.downstream(by)
}
