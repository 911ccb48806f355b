package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/wrapperspb"

	agentv1 "github.com/spiffe/spire-api-sdk/proto/spire/api/server/agent/v1"
	entryv1 "github.com/spiffe/spire-api-sdk/proto/spire/api/server/entry/v1"
	svidv1 "github.com/spiffe/spire-api-sdk/proto/spire/api/server/svid/v1"
	"github.com/spiffe/spire-api-sdk/proto/spire/api/types"
)

func (s *site) agents(by caller) {
	c := agentv1.NewAgentClient(by.conn)
	token := by.name + "-of-an-agent"
	join := func(name string, request *agentv1.CreateJoinTokenRequest) {
		s.call(by, "Agent/CreateJoinToken", name, ask(c.CreateJoinToken, request, func(r *types.JoinToken) string {
			life := time.Until(time.Unix(r.ExpiresAt, 0)).Round(10 * time.Second)
			return fmt.Sprintf("given=%v life=%v", r.Value == request.Token, life)
		}))
	}
	join("good", &agentv1.CreateJoinTokenRequest{Ttl: 600})
	join("given", &agentv1.CreateJoinTokenRequest{Ttl: 600, Token: token})
	join("given again", &agentv1.CreateJoinTokenRequest{Ttl: 600, Token: token})
	join("with an entry", &agentv1.CreateJoinTokenRequest{Ttl: 600, AgentId: s.id("/" + by.name + "/alias")})
	join("no ttl", &agentv1.CreateJoinTokenRequest{})
	join("negative ttl", &agentv1.CreateJoinTokenRequest{Ttl: -5})
	join("foreign agent id", &agentv1.CreateJoinTokenRequest{Ttl: 60, AgentId: foreign("/x")})
	join("reserved agent id", &agentv1.CreateJoinTokenRequest{Ttl: 60, AgentId: s.id("/spire/x")})

	// An agent to work on; who attests does not matter.
	_, _ = attest(s.ctx, by.conn, "join_token", token, csrFor(newKey()))
	agent := s.id("/spire/agent/join_token/" + token)
	get := func(name string, id *types.SPIFFEID) {
		s.call(by, "Agent/GetAgent", name, ask(c.GetAgent, &agentv1.GetAgentRequest{Id: id}, func(a *types.Agent) string {
			return fmt.Sprintf("%s banned=%v reattest=%v", a.AttestationType, a.Banned, a.CanReattest)
		}))
	}
	get("good", agent)
	get("unknown", s.id("/spire/agent/join_token/nobody"))
	get("no id", nil)
	get("foreign", foreign("/spire/agent/x"))
	get("not an agent", s.id("/x"))

	tell := func(r *agentv1.ListAgentsResponse) string {
		for _, a := range r.Agents {
			if a.Id.Path == agent.Path {
				return "with it"
			}
		}
		return "without it"
	}
	list := func(name string, request *agentv1.ListAgentsRequest) {
		s.call(by, "Agent/ListAgents", name, ask(c.ListAgents, request, tell))
	}
	list("all", &agentv1.ListAgentsRequest{})
	list("banned", &agentv1.ListAgentsRequest{Filter: &agentv1.ListAgentsRequest_Filter{ByBanned: wrapperspb.Bool(true)}})
	list("of type", &agentv1.ListAgentsRequest{Filter: &agentv1.ListAgentsRequest_Filter{ByAttestationType: "join_token"}})
	list("bad token", &agentv1.ListAgentsRequest{PageSize: 2, PageToken: "x"})
	list("no selectors", &agentv1.ListAgentsRequest{Filter: &agentv1.ListAgentsRequest_Filter{BySelectorMatch: &types.SelectorMatch{}}})
	count := func(name string, f *agentv1.CountAgentsRequest_Filter) {
		s.call(by, "Agent/CountAgents", name, ask(c.CountAgents, &agentv1.CountAgentsRequest{Filter: f}, func(r *agentv1.CountAgentsResponse) string { return fmt.Sprint(r.Count) }))
	}
	count("all", nil)
	count("of an absent type", &agentv1.CountAgentsRequest_Filter{ByAttestationType: "tpm"})
	count("bad selectors", &agentv1.CountAgentsRequest_Filter{BySelectorMatch: &types.SelectorMatch{Selectors: []*types.Selector{{}}}})

	ban := func(name string, id *types.SPIFFEID) {
		s.call(by, "Agent/BanAgent", name, ask(c.BanAgent, &agentv1.BanAgentRequest{Id: id}, nothing))
	}
	ban("good", agent)
	ban("unknown", s.id("/spire/agent/join_token/nobody"))
	ban("no id", nil)
	get("banned", agent)
	del := func(name string, id *types.SPIFFEID) {
		s.call(by, "Agent/DeleteAgent", name, ask(c.DeleteAgent, &agentv1.DeleteAgentRequest{Id: id}, nothing))
	}
	del("good", agent)
	del("again", agent)
	del("foreign", foreign("/spire/agent/x"))
}

func attest(ctx context.Context, conn grpc.ClientConnInterface, kind, payload string, csr []byte) (*types.X509SVID, error) {
	return attestWith(ctx, conn, &agentv1.AttestAgentRequest{Step: &agentv1.AttestAgentRequest_Params_{Params: &agentv1.AttestAgentRequest_Params{
		Data:   &types.AttestationData{Type: kind, Payload: []byte(payload)},
		Params: &agentv1.AgentX509SVIDParams{Csr: csr},
	}}})
}

func attestWith(ctx context.Context, conn grpc.ClientConnInterface, request *agentv1.AttestAgentRequest) (*types.X509SVID, error) {
	stream, err := agentv1.NewAgentClient(conn).AttestAgent(ctx)
	if err != nil {
		return nil, err
	}
	_ = stream.Send(request)
	answer, err := stream.Recv()
	if err != nil {
		return nil, err
	}
	return answer.GetResult().GetSvid(), nil
}

// attestation is open to everybody, so it is where bad input comes from.
func (s *site) attestation(by caller) {
	tokens := agentv1.NewAgentClient(s.local.conn)
	for token, ttl := range map[string]int32{"fresh": 600, "short": 1, "third": 600} {
		if _, err := tokens.CreateJoinToken(s.ctx, &agentv1.CreateJoinTokenRequest{Ttl: ttl, Token: token}); err != nil {
			panic(err)
		}
	}
	put := func(name, kind, payload string, csr []byte) {
		s.call(by, "Agent/AttestAgent", name, func(ctx context.Context) (string, error) {
			svid, err := attest(ctx, by.conn, kind, payload, csr)
			return strings.TrimSpace(svid.GetId().GetPath()), err
		})
	}
	csr := csrFor(newKey())
	put("good", "join_token", "fresh", csr)
	put("token used before", "join_token", "fresh", csr)
	put("unknown token", "join_token", "nobody", csr)
	put("bad CSR", "join_token", "third", []byte("nonsense"))
	put("no CSR", "join_token", "third", nil)
	put("no payload", "join_token", "", csr)
	put("unknown attestor", "nobody", "x", csr)
	put("no attestor", "", "x", csr)
	s.call(by, "Agent/AttestAgent", "no params", func(ctx context.Context) (string, error) {
		_, err := attestWith(ctx, by.conn, &agentv1.AttestAgentRequest{})
		return "", err
	})
	s.call(by, "Agent/AttestAgent", "challenge response first", func(ctx context.Context) (string, error) {
		_, err := attestWith(ctx, by.conn, &agentv1.AttestAgentRequest{Step: &agentv1.AttestAgentRequest_ChallengeResponse{}})
		return "", err
	})
	time.Sleep(2100 * time.Millisecond)
	put("expired token", "join_token", "short", csr)
}

// asAgent attests and does what agents do, then is banned.
func (s *site) asAgent(nobody caller) error {
	const token = "worker"
	tokens := agentv1.NewAgentClient(s.local.conn)
	if _, err := tokens.CreateJoinToken(s.ctx, &agentv1.CreateJoinTokenRequest{Ttl: 600, Token: token}); err != nil {
		return err
	}
	key := newKey()
	svid, err := attest(s.ctx, nobody.conn, "join_token", token, csrFor(key))
	if err != nil {
		return err
	}
	by, err := s.dial("agent", &tls.Certificate{Certificate: svid.CertChain, PrivateKey: key})
	if err != nil {
		return err
	}
	me := s.id("/spire/agent/join_token/" + token)
	created, err := entryv1.NewEntryClient(s.local.conn).BatchCreateEntry(s.ctx, &entryv1.BatchCreateEntryRequest{Entries: []*types.Entry{
		{SpiffeId: s.id("/of-agent"), ParentId: me, Selectors: selectors("unix:uid:1"), DnsNames: []string{"of-agent.test"}},
	}})
	if err != nil {
		return err
	}
	entry := created.Results[0].Entry.Id
	if err := s.untilKnown(by, entry); err != nil {
		return err
	}
	s.agentOnly(by, []string{entry})
	// An agent is no administrator.
	s.call(by, "Agent/ListAgents", "as an agent", ask(tokensOf(by).ListAgents, &agentv1.ListAgentsRequest{}, nothing))
	s.call(by, "Entry/CountEntries", "as an agent", ask(entryv1.NewEntryClient(by.conn).CountEntries, &entryv1.CountEntriesRequest{}, nothing))
	s.call(by, "SVID/MintX509SVID", "as an agent", ask(svidv1.NewSVIDClient(by.conn).MintX509SVID, &svidv1.MintX509SVIDRequest{}, nothing))
	s.call(by, "Agent/AttestAgent", "as an agent", func(ctx context.Context) (string, error) {
		_, err := attest(ctx, by.conn, "join_token", "nobody", csrFor(newKey()))
		return "", err
	})
	if _, err := tokens.BanAgent(s.ctx, &agentv1.BanAgentRequest{Id: me}); err != nil {
		return err
	}
	s.call(by, "Agent/PostStatus", "banned", ask(tokensOf(by).PostStatus, &agentv1.PostStatusRequest{}, nothing))
	s.call(by, "Entry/GetAuthorizedEntries", "banned", ask(entryv1.NewEntryClient(by.conn).GetAuthorizedEntries, &entryv1.GetAuthorizedEntriesRequest{}, nothing))
	return nil
}

func tokensOf(by caller) agentv1.AgentClient { return agentv1.NewAgentClient(by.conn) }

// untilKnown waits for the index of entries of the server.
func (s *site) untilKnown(by caller, entry string) error {
	for begun := time.Now(); time.Since(begun) < 20*time.Second; time.Sleep(100 * time.Millisecond) {
		r, err := entryv1.NewEntryClient(by.conn).GetAuthorizedEntries(s.ctx, &entryv1.GetAuthorizedEntriesRequest{})
		if err != nil {
			return err
		}
		for _, e := range r.Entries {
			if e.Id == entry {
				return nil
			}
		}
	}
	return fmt.Errorf("the agent does not hear of its entry")
}

// agentOnly is refused to everybody else, administrators too.
func (s *site) agentOnly(by caller, entries []string) {
	entry := "nobody"
	if len(entries) > 0 {
		entry = entries[0]
	}
	c := tokensOf(by)
	s.authorized(by, entries)
	s.signing(by, entry)
	s.call(by, "Agent/PostStatus", "good", ask(c.PostStatus, &agentv1.PostStatusRequest{AgentVersion: "1.2.3"}, nothing))
	s.call(by, "Agent/PostStatus", "long version", ask(c.PostStatus, &agentv1.PostStatusRequest{AgentVersion: strings.Repeat("x", 256)}, nothing))
	renew := func(name string, params *agentv1.AgentX509SVIDParams) {
		s.call(by, "Agent/RenewAgent", name, ask(c.RenewAgent, &agentv1.RenewAgentRequest{Params: params}, func(r *agentv1.RenewAgentResponse) string {
			return fmt.Sprintf("%d certificates", len(r.GetSvid().GetCertChain()))
		}))
	}
	renew("good", &agentv1.AgentX509SVIDParams{Csr: csrFor(newKey())})
	renew("no params", nil)
	renew("no CSR", &agentv1.AgentX509SVIDParams{})
	renew("bad CSR", &agentv1.AgentX509SVIDParams{Csr: []byte("nonsense")})
}
