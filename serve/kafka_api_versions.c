/* ApiVersions (18), versions 0-4: the table of APIs, as a client's first question. */
#include "serve/kafka_error.h"
#include "serve/kafka_request.h"

static void answer_api(struct kafka_output *out, const struct kafka_api *api)
{
    kafka_output_i16(out, api->key);
    kafka_output_i16(out, api->version_min);
    kafka_output_i16(out, api->version_max);
    kafka_output_tags(out);
}

/* A version that we do not know: in the oldest layout, which every client reads, and with this API
 * alone, from which it learns what to ask again with. */
static enum kafka_turn answer_fallback(struct kafka_output *out, const struct kafka_api *api)
{
    kafka_output_i16(out, KAFKA_UNSUPPORTED_VERSION);
    kafka_output_array(out, 1);
    answer_api(out, api);
    return KAFKA_TURN_DONE;
}

enum kafka_turn kafka_api_versions_step(struct kafka_request *request)
{
    struct kafka_input *const in = &request->in;
    struct kafka_output *const out = &request->out;
    if (request->version < request->api->version_min ||
        request->version > request->api->version_max) {
        return answer_fallback(out, request->api);
    }
    if (request->version >= 3) {
        (void)kafka_input_text(in); /* client_software_name: we are lenient about its form */
        (void)kafka_input_text(in); /* client_software_version */
        kafka_input_tags(in);
    }
    if (kafka_input_failed(in)) { return kafka_request_refuse(request, "ApiVersions malformed"); }

    kafka_output_i16(out, KAFKA_NONE);
    kafka_output_array(out, (int32_t)kafka_api_count());
    for (size_t i = 0; i < kafka_api_count(); i++) { answer_api(out, kafka_api_at(i)); }
    if (request->version >= 1) { kafka_output_i32(out, 0); } /* throttle */
    kafka_output_tags(out);
    return KAFKA_TURN_DONE;
}
