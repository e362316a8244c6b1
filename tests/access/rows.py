"""Who gets in where: one row for every route. A route without a row fails `test_matrix`.

open        everybody, without a key
key         whoever has a key that holds, or sits at this machine
caller      of these, whose key is not for certain assistants only
assistants  who may ask the model, or certain assistants
asking      who may ask the model on any page
chat        the same, for programs
reader      who may see everybody's requests: the owner, admins, history keys
admin       the owner and admin keys
"""

from __future__ import annotations

ACCESS = {
    "open": """
        GET /openapi.json
        GET /docs
        GET /docs/start.js
        GET /docs/swagger-ui-bundle.js
        GET /docs/swagger-ui.css
        GET /health
        GET /ready
        GET /static/{name:path}
        GET /widget.js
        GET /manifest.webmanifest
        GET /service-worker.js
        GET /offline
        GET /login
        POST /login
        POST /logout
        GET /join
        POST /join
        GET /trust
        GET /trust/appliance.crt
        POST /language
        POST /theme
    """,
    "key": """
        GET /assistants/{assistant_id}/talk
        POST /assistants/{assistant_id}/talk
        GET /assistants/{assistant_id}/talk/stream
        GET /v1/models
        GET /v1/models/{name:path}
        POST /tokenize
        POST /detokenize
        POST /v1/feedback
    """,
    "caller": """
        GET /connect
        POST /logout/everywhere
        GET /history
        GET /history/live
        POST /history/views
        POST /history/views/delete
        GET /history/charts
        GET /history/export
        POST /history/delete
        GET /history/mine
        POST /history/mine/delete
        GET /history/mine/export
        GET /history/{request_id}
        GET /history/{request_id}/compare/{other_id}
        POST /history/{request_id}/feedback
        GET /status
        GET /status/live
        GET /engine/banner
        GET /engine/banner/stream
    """,
    "assistants": """
        GET /assistants
    """,
    "asking": """
        GET /
        GET /chats
        POST /chats/import
        POST /chat
        GET /chat/{conversation_id}
        POST /chat/{conversation_id}
        POST /chat/{conversation_id}/delete
        GET /chat/{conversation_id}/export/{kind}
        POST /chat/{conversation_id}/folder
        POST /chat/{conversation_id}/messages/{message_id}/answer-now
        POST /chat/{conversation_id}/messages/{message_id}/continue
        POST /chat/{conversation_id}/messages/{message_id}/edit
        POST /chat/{conversation_id}/messages/{message_id}/retry
        POST /chat/{conversation_id}/messages/{message_id}/show
        GET /chat/{conversation_id}/messages/{message_id}/stream
        GET /chat/{conversation_id}/messages/{message_id}/text
        POST /chat/{conversation_id}/pin
        POST /chat/{conversation_id}/rename
        POST /chat/{conversation_id}/settings
        POST /chat/{conversation_id}/stop
        POST /chat/{conversation_id}/thinking
        GET /chat/{conversation_id}/title
        POST /attachments
        GET /attachments/{attachment_id}
        POST /history/{request_id}/replay
        POST /assistants
        GET /assistants/new
        GET /assistants/{assistant_id}
        POST /assistants/{assistant_id}
        POST /assistants/{assistant_id}/delete
        GET /write
        POST /write
        GET /write/drafts
        POST /write/drafts
        GET /write/drafts/{draft_id}
        POST /write/drafts/{draft_id}/delete
        GET /write/drafts/{draft_id}/download
        POST /write/drafts/{draft_id}/restore
        GET /write/{run_id}
        POST /write/{run_id}/apply
        GET /write/{run_id}/download
        POST /write/{run_id}/retry
        POST /write/{run_id}/stop
        GET /write/{run_id}/stream
        GET /code
        POST /code
        GET /code/drafts
        POST /code/drafts
        GET /code/drafts/{draft_id}
        POST /code/drafts/{draft_id}/delete
        GET /code/drafts/{draft_id}/download
        POST /code/drafts/{draft_id}/restore
        GET /code/{run_id}
        POST /code/{run_id}/apply
        GET /code/{run_id}/download
        POST /code/{run_id}/retry
        POST /code/{run_id}/stop
        GET /code/{run_id}/stream
    """,
    "chat": """
        POST /generate
        POST /v1/completions
        POST /v1/chat/completions
    """,
    "reader": """
        GET /admin/requests
        GET /admin/requests/{id}
    """,
    "admin": """
        POST /admin/requests/{id}/replay
        GET /keys
        POST /keys
        GET /keys/of
        POST /keys/change
        POST /keys/invite
        POST /keys/rotate
        POST /keys/revoke
        GET /assistants/{assistant_id}/share
        POST /assistants/{assistant_id}/share
        POST /assistants/{assistant_id}/share/revoke
        POST /engine/load
        POST /engine/restart
        POST /engine/unload
        GET /admin/engine
        POST /admin/engine/load
        POST /admin/engine/restart
        POST /admin/engine/unload
        GET /admin/keys
        POST /admin/keys
        GET /admin/keys/{name:path}
        PATCH /admin/keys/{name:path}
        DELETE /admin/keys/{name:path}
        POST /admin/keys/{name:path}/rotate
        GET /admin/keys/{name:path}/usage
        GET /admin/queue
        GET /metrics
    """,
}
ROWS = {row.strip(): kind for kind, rows in ACCESS.items() for row in rows.strip().splitlines()}

MESSAGES = '{"messages": [{"role": "user", "content": "Hello"}]}'
PROMPT = '{"prompt": "Hello"}'
# Forms and queries that must be whole before anybody is asked who they are.
BODIES = {
    "POST /generate": PROMPT,
    "POST /v1/completions": PROMPT,
    "POST /v1/chat/completions": MESSAGES,
    "POST /tokenize": PROMPT,
    "POST /v1/feedback": '{"request_id": "x", "rating": 1}',
    "POST /detokenize": '{"tokens": [1]}',
    "GET /keys/of": "name=nobody",
    "POST /keys/invite": "name=guest",
    "POST /keys/revoke": "name=nobody",
    "POST /assistants/{assistant_id}/share/revoke": "name=nobody",
    "POST /keys/rotate": "name=nobody",
    "POST /keys/change": "name=nobody",
}
