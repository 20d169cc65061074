//! The route table: the scope of each route and its handler.

use faas_types::Scope;
use faas_web::{Access, RouteTable, TablePurpose};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::state::ApiState;
use crate::{
    aliases, blobs, cache, callbacks, collect, dead_letters, deploy, deployment_groups, deployments, error_pages,
    events, functions, health, invocations, invoke, keys, layers, logs, metrics, named_layers, network, preflight,
    replays, retention, route_aliases, runs, secrets, topics, triggers, vars, version_files, versions,
};

/// Every route of the OpenAPI document.
pub(crate) fn table(state: &ApiState, purpose: TablePurpose) -> OpenApiRouter<ApiState> {
    use Access::{AnyKey, Key, OfFunctions, Public};
    use Scope::{Admin, Deploy, FunctionsRead, FunctionsWrite, Invoke, MetricsRead, ProjectAdmin, RunsRead, RunsWrite};
    let metrics = if state.open_metrics { Public } else { Key(MetricsRead) };
    with_vars(with_aliases(with_layers(RouteTable::new(state.engine.clone(), purpose))))
        .add(Key(FunctionsRead), routes!(functions::list_functions))
        .add_repeatable(Key(FunctionsWrite), routes!(functions::create_function))
        .add(Key(FunctionsRead), routes!(functions::get_function))
        .add(Key(FunctionsWrite), routes!(functions::replace_function))
        .add(Key(FunctionsWrite), routes!(functions::patch_function))
        .add(Key(FunctionsWrite), routes!(functions::delete_function))
        .add(Key(FunctionsRead), routes!(versions::list_versions))
        .add(Key(FunctionsRead), routes!(versions::get_version))
        .add(Key(FunctionsRead), routes!(versions::diff_versions))
        .add(Key(FunctionsRead), routes!(deployments::list_deployments))
        .add(OfFunctions(FunctionsRead), routes!(deployments::get_deployment))
        .add(OfFunctions(FunctionsRead), routes!(deployments::deployment_events))
        .add(OfFunctions(Deploy), routes!(deployments::cancel_deployment))
        .add(Key(FunctionsRead), routes!(aliases::list_aliases))
        .add(Key(FunctionsRead), routes!(aliases::get_alias))
        .add(Key(Deploy), routes!(aliases::set_alias))
        .add(Key(Deploy), routes!(aliases::remove_alias))
        .add(Key(FunctionsRead), routes!(aliases::get_canary))
        .add(Key(Deploy), routes!(aliases::promote_canary))
        .add(Key(Deploy), routes!(aliases::abort_canary))
        .add(Key(FunctionsRead), routes!(functions::function_metrics))
        .add(Key(FunctionsWrite), routes!(cache::purge_cache))
        .add(Key(Deploy), routes!(deploy::create_deployment))
        .add(Key(Deploy), routes!(deploy::rollback_function))
        .add_repeatable(OfFunctions(Deploy), routes!(blobs::check_blobs))
        .add(OfFunctions(Deploy), routes!(blobs::put_blob))
        .add(OfFunctions(Deploy), routes!(blobs::head_blob))
        .add(Key(Deploy), routes!(deployment_groups::create_group))
        .add(Key(FunctionsRead), routes!(deployment_groups::list_groups))
        .add(Key(FunctionsRead), routes!(deployment_groups::get_group))
        .add(Key(FunctionsRead), routes!(deployment_groups::group_events))
        .add(Key(Deploy), routes!(deployment_groups::cancel_group))
        .add(Key(Deploy), routes!(deployment_groups::rollback_group))
        .add(Key(FunctionsRead), routes!(version_files::version_files))
        .add(Key(FunctionsRead), routes!(version_files::version_file))
        .add(Key(FunctionsRead), routes!(version_files::build_log))
        .add_call(Key(Invoke), routes!(invoke::invoke_function))
        .add(Key(Invoke), routes!(invocations::create_invocation))
        .add(Key(FunctionsRead), routes!(network::get_network))
        .add(Key(FunctionsWrite), routes!(network::update_network))
        .add(Key(FunctionsWrite), routes!(network::reset_network))
        .add_repeatable(Key(FunctionsWrite), routes!(network::test_network))
        .add(Key(RunsRead), routes!(logs::project_logs))
        .add(Key(FunctionsRead), routes!(triggers::list_all_triggers))
        .add(Key(FunctionsRead), routes!(triggers::list_triggers))
        .add_repeatable(Key(FunctionsWrite), routes!(triggers::add_trigger))
        .add(Key(FunctionsRead), routes!(triggers::get_trigger))
        .add(Key(FunctionsWrite), routes!(triggers::update_trigger))
        .add(Key(FunctionsWrite), routes!(triggers::remove_trigger))
        .add(Key(FunctionsWrite), routes!(triggers::rotate_secret))
        .add(Key(Invoke), routes!(triggers::test_trigger))
        .add(Key(FunctionsRead), routes!(triggers::next_fires))
        .add(Key(Invoke), routes!(events::publish_events))
        .add(Key(RunsRead), routes!(topics::list_topics))
        .add(Key(Invoke), routes!(topics::send_messages))
        .add(Key(RunsRead), routes!(topics::get_topic))
        .add(Key(RunsWrite), routes!(topics::purge_topic))
        .add(Key(RunsRead), routes!(logs::function_logs))
        .add(Key(RunsRead), routes!(runs::list_runs))
        .add(Key(RunsRead), routes!(runs::get_run))
        .add(Key(RunsRead), routes!(logs::run_logs))
        .add_repeatable(Key(RunsWrite), routes!(replays::cancel_run))
        .add(Key(RunsWrite), routes!(replays::replay_run))
        .add(Key(RunsRead), routes!(replays::run_input))
        .add(Key(RunsRead), routes!(dead_letters::list_dead_letters))
        .add(Key(RunsRead), routes!(dead_letters::get_dead_letter))
        .add_repeatable(Key(RunsWrite), routes!(dead_letters::redrive_dead_letter))
        .add_repeatable(Key(RunsWrite), routes!(dead_letters::redrive_dead_letters))
        .add(Key(RunsWrite), routes!(dead_letters::purge_dead_letter))
        .add_repeatable(Key(RunsWrite), routes!(dead_letters::purge_dead_letters))
        .add_repeatable(Key(FunctionsWrite), routes!(functions::pause_function))
        .add_repeatable(Key(FunctionsWrite), routes!(functions::resume_function))
        .add_repeatable(Key(Admin), routes!(collect::collect))
        .add(Key(RunsRead), routes!(retention::get_retention))
        .add(Key(ProjectAdmin), routes!(retention::set_retention))
        .add(Key(ProjectAdmin), routes!(retention::reset_retention))
        .add(Key(FunctionsRead), routes!(preflight::get_policy))
        .add(Key(ProjectAdmin), routes!(preflight::set_policy))
        .add(Key(ProjectAdmin), routes!(preflight::reset_policy))
        .add(Key(FunctionsRead), routes!(callbacks::get_callback_secret))
        .add(Key(ProjectAdmin), routes!(callbacks::rotate_callback_secret))
        .add(AnyKey, routes!(keys::whoami))
        .add(Key(ProjectAdmin), routes!(keys::list_keys))
        .add_repeatable(Key(ProjectAdmin), routes!(keys::create_key))
        .add(Key(ProjectAdmin), routes!(keys::get_key))
        .add(Key(ProjectAdmin), routes!(keys::update_key))
        .add(Key(ProjectAdmin), routes!(keys::revoke_key))
        .add(OfFunctions(FunctionsRead), routes!(health::status))
        .add(Public, routes!(health::live))
        .add(Public, routes!(health::ready))
        .add(metrics, routes!(metrics::serve))
        .add(Public, routes!(error_pages::page))
        .finish()
}

/// Second names of routes.
fn with_aliases(table: RouteTable<ApiState>) -> RouteTable<ApiState> {
    use Access::Key;
    use Scope::{Deploy, FunctionsRead, FunctionsWrite};
    table
        .add(Key(Deploy), routes!(route_aliases::deploy))
        .add(Key(FunctionsRead), routes!(route_aliases::list_env))
        .add_repeatable(Key(FunctionsWrite), routes!(route_aliases::set_env))
        .add(Key(FunctionsWrite), routes!(route_aliases::delete_env))
}

fn with_layers(table: RouteTable<ApiState>) -> RouteTable<ApiState> {
    use Access::Key;
    use Scope::{FunctionsRead, FunctionsWrite};
    table
        .add(Key(FunctionsRead), routes!(layers::list_layers))
        .add(Key(FunctionsRead), routes!(layers::get_layer))
        .add(Key(FunctionsWrite), routes!(layers::remove_layer))
        .add(Key(FunctionsRead), routes!(named_layers::list_named_layers))
        .add(Key(FunctionsRead), routes!(named_layers::get_layer))
        .add(Key(FunctionsRead), routes!(named_layers::list_layer_versions))
        .add(Key(FunctionsRead), routes!(named_layers::get_layer_version))
        .add(Key(FunctionsWrite), routes!(named_layers::publish_layer))
        .add(Key(FunctionsWrite), routes!(named_layers::remove_layer_version))
        .add(Key(FunctionsWrite), routes!(named_layers::remove_named_layer))
}

fn with_vars(table: RouteTable<ApiState>) -> RouteTable<ApiState> {
    use Access::Key;
    use Scope::{Admin, FunctionsRead, FunctionsWrite, SecretsWrite};
    table
        .add(Key(FunctionsRead), routes!(vars::list_vars))
        .add_repeatable(Key(FunctionsWrite), routes!(vars::set_vars))
        .add(Key(FunctionsWrite), routes!(vars::delete_var))
        .add_repeatable(Key(FunctionsWrite), routes!(vars::set_var))
        .add(Key(FunctionsRead), routes!(vars::list_stage_vars))
        .add_repeatable(Key(FunctionsWrite), routes!(vars::set_stage_vars))
        .add_repeatable(Key(FunctionsWrite), routes!(vars::set_stage_var))
        .add(Key(FunctionsWrite), routes!(vars::delete_stage_var))
        .add(Key(FunctionsRead), routes!(secrets::list_secrets))
        .add(Key(FunctionsRead), routes!(secrets::get_secret))
        .add(Key(SecretsWrite), routes!(secrets::set_secret))
        .add(Key(SecretsWrite), routes!(secrets::unset_secret))
        .add(Key(SecretsWrite), routes!(secrets::restore_secret))
        .add(Key(Admin), routes!(secrets::rekey))
}
