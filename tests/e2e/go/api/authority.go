package main

import (
	"context"
	"fmt"

	localauthorityv1 "github.com/spiffe/spire-api-sdk/proto/spire/api/server/localauthority/v1"
)

type authorityState interface {
	GetActive() *localauthorityv1.AuthorityState
	GetPrepared() *localauthorityv1.AuthorityState
	GetOld() *localauthorityv1.AuthorityState
}

func tellState[A authorityState](state A) string {
	there := func(a *localauthorityv1.AuthorityState) bool { return a.GetAuthorityId() != "" }
	return fmt.Sprintf("active=%v prepared=%v old=%v", there(state.GetActive()), there(state.GetPrepared()), there(state.GetOld()))
}

// localAuthority takes both authorities through prepare, activate, taint and revoke.
func (s *site) localAuthority(by caller) {
	s.x509Authority(by)
	s.jwtAuthority(by)
	s.absentAuthorities(by)
}

func (s *site) x509Authority(by caller) {
	c := localauthorityv1.NewLocalAuthorityClient(by.conn)
	var prepared, old string
	state := func(name string) {
		s.call(by, "LocalAuthority/GetX509AuthorityState", name, ask(c.GetX509AuthorityState, &localauthorityv1.GetX509AuthorityStateRequest{}, func(r *localauthorityv1.GetX509AuthorityStateResponse) string {
			old = r.GetActive().GetAuthorityId()
			return tellState(r)
		}))
	}
	activate := func(name, id string) {
		s.call(by, "LocalAuthority/ActivateX509Authority", name, ask(c.ActivateX509Authority, &localauthorityv1.ActivateX509AuthorityRequest{AuthorityId: id},
			func(r *localauthorityv1.ActivateX509AuthorityResponse) string {
				return fmt.Sprint(r.GetActivatedAuthority().GetAuthorityId() == id)
			}))
	}
	taint := func(name, id string) {
		s.call(by, "LocalAuthority/TaintX509Authority", name, ask(c.TaintX509Authority, &localauthorityv1.TaintX509AuthorityRequest{AuthorityId: id},
			func(r *localauthorityv1.TaintX509AuthorityResponse) string {
				return fmt.Sprint(r.GetTaintedAuthority().GetAuthorityId() == id)
			}))
	}
	revoke := func(name, id string) {
		s.call(by, "LocalAuthority/RevokeX509Authority", name, ask(c.RevokeX509Authority, &localauthorityv1.RevokeX509AuthorityRequest{AuthorityId: id},
			func(r *localauthorityv1.RevokeX509AuthorityResponse) string {
				return fmt.Sprint(r.GetRevokedAuthority().GetAuthorityId() == id)
			}))
	}
	state("at first")
	active := old
	activate("nothing prepared", active)
	s.call(by, "LocalAuthority/PrepareX509Authority", "good", ask(c.PrepareX509Authority, &localauthorityv1.PrepareX509AuthorityRequest{}, func(r *localauthorityv1.PrepareX509AuthorityResponse) string {
		prepared = r.GetPreparedAuthority().GetAuthorityId()
		return fmt.Sprint(prepared != "")
	}))
	state("prepared")
	taint("prepared", prepared)
	taint("active", active)
	activate("no id", "")
	activate("unknown", "0123456789")
	activate("good", prepared)
	state("activated")
	revoke("not tainted", active)
	taint("no id", "")
	taint("good", active)
	taint("again", active)
	revoke("no id", "")
	revoke("good", active)
	revoke("again", active)
}

func (s *site) jwtAuthority(by caller) {
	c := localauthorityv1.NewLocalAuthorityClient(by.conn)
	var prepared, active string
	state := func(name string) {
		s.call(by, "LocalAuthority/GetJWTAuthorityState", name, ask(c.GetJWTAuthorityState, &localauthorityv1.GetJWTAuthorityStateRequest{}, func(r *localauthorityv1.GetJWTAuthorityStateResponse) string {
			active = r.GetActive().GetAuthorityId()
			return tellState(r)
		}))
	}
	activate := func(name, id string) {
		s.call(by, "LocalAuthority/ActivateJWTAuthority", name, ask(c.ActivateJWTAuthority, &localauthorityv1.ActivateJWTAuthorityRequest{AuthorityId: id},
			func(r *localauthorityv1.ActivateJWTAuthorityResponse) string {
				return fmt.Sprint(r.GetActivatedAuthority().GetAuthorityId() == id)
			}))
	}
	taint := func(name, id string) {
		s.call(by, "LocalAuthority/TaintJWTAuthority", name, ask(c.TaintJWTAuthority, &localauthorityv1.TaintJWTAuthorityRequest{AuthorityId: id},
			func(r *localauthorityv1.TaintJWTAuthorityResponse) string {
				return fmt.Sprint(r.GetTaintedAuthority().GetAuthorityId() == id)
			}))
	}
	revoke := func(name, id string) {
		s.call(by, "LocalAuthority/RevokeJWTAuthority", name, ask(c.RevokeJWTAuthority, &localauthorityv1.RevokeJWTAuthorityRequest{AuthorityId: id},
			func(r *localauthorityv1.RevokeJWTAuthorityResponse) string {
				return fmt.Sprint(r.GetRevokedAuthority().GetAuthorityId() == id)
			}))
	}
	state("at first")
	first := active
	activate("nothing prepared", first)
	s.call(by, "LocalAuthority/PrepareJWTAuthority", "good", ask(c.PrepareJWTAuthority, &localauthorityv1.PrepareJWTAuthorityRequest{}, func(r *localauthorityv1.PrepareJWTAuthorityResponse) string {
		prepared = r.GetPreparedAuthority().GetAuthorityId()
		return fmt.Sprint(prepared != "")
	}))
	taint("active", first)
	activate("unknown", "nobody")
	activate("good", prepared)
	state("activated")
	revoke("not tainted", first)
	taint("good", first)
	taint("again", first)
	revoke("good", first)
	revoke("again", first)
}

// absentAuthorities are those that a self-signed server does not have.
func (s *site) absentAuthorities(by caller) {
	c := localauthorityv1.NewLocalAuthorityClient(by.conn)
	s.call(by, "LocalAuthority/TaintX509UpstreamAuthority", "no upstream", ask(c.TaintX509UpstreamAuthority, &localauthorityv1.TaintX509UpstreamAuthorityRequest{SubjectKeyId: "0123"}, nothing))
	s.call(by, "LocalAuthority/TaintX509UpstreamAuthority", "no id", ask(c.TaintX509UpstreamAuthority, &localauthorityv1.TaintX509UpstreamAuthorityRequest{}, nothing))
	s.call(by, "LocalAuthority/RevokeX509UpstreamAuthority", "no upstream", ask(c.RevokeX509UpstreamAuthority, &localauthorityv1.RevokeX509UpstreamAuthorityRequest{SubjectKeyId: "0123"}, nothing))
	s.call(by, "LocalAuthority/GetWITAuthorityState", "not offered", ask(c.GetWITAuthorityState, &localauthorityv1.GetWITAuthorityStateRequest{}, nothing))
	s.call(by, "LocalAuthority/PrepareWITAuthority", "not offered", ask(c.PrepareWITAuthority, &localauthorityv1.PrepareWITAuthorityRequest{}, nothing))
	s.call(by, "LocalAuthority/ActivateWITAuthority", "not offered", ask(c.ActivateWITAuthority, &localauthorityv1.ActivateWITAuthorityRequest{}, nothing))
	s.call(by, "LocalAuthority/TaintWITAuthority", "not offered", ask(c.TaintWITAuthority, &localauthorityv1.TaintWITAuthorityRequest{}, nothing))
	s.call(by, "LocalAuthority/RevokeWITAuthority", "not offered", func(ctx context.Context) (string, error) {
		_, err := c.RevokeWITAuthority(ctx, &localauthorityv1.RevokeWITAuthorityRequest{})
		return "", err
	})
}
