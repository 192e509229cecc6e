"""How rltune treats the attributes of RLlib's configs that a script changes from their default.

An attribute acts in the array engine, or the trial falls back to RLlib's own engine, or it changes
nothing, as in RLlib's own engine, or it is refused, where RLlib accepts it and does nothing. An
attribute that a later RLlib adds has no place here: the trial then runs on RLlib's engine, and a
test asks for its place.

The tables below are shared; each algorithm's folder completes them in its ``attributes.py``.
"""

from __future__ import annotations

from collections.abc import Mapping

#: Treatments. What acts has a test that sees it act (tests/algorithms/test_config_attributes.py).
ACTS, FALLBACK, NOTHING, REFUSED = "acts", "fallback", "nothing", "refused"

Table = Mapping[str, tuple[str, str]]


def each(treatment: str, why: str, names: str) -> dict[str, tuple[str, str]]:
    return dict.fromkeys(names.split(), (treatment, why))


NOT_READ = "RLlib's new API stack takes no notice of it"
DEPRECATED = "it is no setting of RLlib's any more"

#: Of every algorithm: treatment, and what is told or why. An empty text names the attribute itself.
COMMON: Table = {
    **each(
        ACTS,
        "",
        """
        env env_config seed gamma lr grad_clip grad_clip_by train_batch_size
        _train_batch_size_per_learner num_env_runners num_envs_per_env_runner
        rollout_fragment_length metrics_num_episodes_for_smoothing min_time_s_per_iteration
        min_sample_timesteps_per_iteration observation_filter clip_rewards _model_config
        _rl_module_spec num_gpus_per_learner policies restart_failed_env_runners model
        """,
    ),
    # Told in these words.
    **each(
        FALLBACK,
        "callbacks",
        """
        callbacks_class callbacks_on_algorithm_init callbacks_on_checkpoint_loaded
        callbacks_on_env_runners_recreated callbacks_on_environment_created
        callbacks_on_episode_created callbacks_on_episode_end callbacks_on_episode_start
        callbacks_on_episode_step callbacks_on_evaluate_end callbacks_on_evaluate_offline_end
        callbacks_on_evaluate_offline_start callbacks_on_evaluate_start
        callbacks_on_offline_eval_runners_recreated callbacks_on_sample_end
        callbacks_on_train_result
        """,
    ),
    **each(
        FALLBACK,
        "custom connectors",
        """
        _env_to_module_connector _module_to_env_connector _learner_connector
        add_default_connectors_to_env_to_module_pipeline
        add_default_connectors_to_learner_pipeline
        add_default_connectors_to_module_to_env_pipeline
        """,
    ),
    **each(FALLBACK, "several agents or policies", "policy_mapping_fn policies_to_train"),
    **each(FALLBACK, "offline data", "input_"),
    **each(FALLBACK, "an env runner of your own", "env_runner_cls"),
    **each(FALLBACK, "a learner of your own", "_learner_class learner_config_dict"),
    **each(FALLBACK, "another framework than torch", "framework_str"),
    **each(
        FALLBACK,
        "the old API stack",
        "enable_env_runner_and_connector_v2 enable_rl_module_and_learner",
    ),
    # Told by name and value.
    **each(
        FALLBACK,
        "",
        """
        observation_space action_space explore batch_mode normalize_actions clip_actions
        gym_env_vectorize_mode restart_failed_sub_environments sample_timeout_s
        num_gpus_per_env_runner create_env_on_local_worker create_local_env_runner
        ignore_env_runner_failures use_env_runner_state_server count_steps_by
        update_worker_filter_stats use_worker_filter_stats merge_env_runner_states
        broadcast_env_runner_states num_learners num_aggregator_actors_per_learner
        torch_compile_learner torch_compile_worker torch_skip_nan_gradients
        _torch_grad_scaler_class _torch_lr_scheduler_classes log_gradients
        min_train_timesteps_per_iteration evaluation_interval evaluation_num_env_runners
        offline_evaluation_interval num_offline_eval_runners output
        algorithm_config_overrides_per_module _per_module_overrides ignore_final_observation
        """,
    ),
    **each(
        NOTHING,
        "what it belongs to runs on RLlib's own engine: evaluation, offline data, output",
        """
        evaluation_auto_duration_max_env_steps_per_sample
        evaluation_auto_duration_min_env_steps_per_sample evaluation_config evaluation_duration
        evaluation_duration_unit evaluation_error_after_n_consecutive_skips
        evaluation_force_reset_envs_before_iteration evaluation_parallel_to_training
        evaluation_sample_timeout_s evaluation_unhealthy_workers_timeout_s
        custom_evaluation_function offline_eval_batch_size_per_runner
        offline_eval_rl_module_inference_only offline_eval_runner_class
        offline_eval_runner_health_probe_timeout_s offline_eval_runner_restore_timeout_s
        offline_evaluation_duration offline_evaluation_parallel_to_training
        offline_evaluation_timeout_s offline_evaluation_type offline_loss_for_module_fn
        broadcast_offline_eval_runner_states ignore_offline_eval_runner_failures
        restart_failed_offline_eval_runners max_num_offline_eval_runner_restarts
        max_requests_in_flight_per_offline_eval_runner num_cpus_per_offline_eval_runner
        num_gpus_per_offline_eval_runner custom_resources_per_offline_eval_runner
        validate_offline_eval_runners_after_construction dataset_num_iters_per_eval_runner
        dataset_num_iters_per_learner input_compress_columns input_config input_filesystem
        input_filesystem_kwargs input_read_batch_size input_read_episodes input_read_method
        input_read_method_kwargs input_read_sample_batches input_read_schema
        input_spaces_jsonable iter_batches_kwargs map_batches_kwargs materialize_data
        materialize_mapped_data off_policy_estimation_methods offline_data_class
        offline_sampling ope_split_batch_by_episode actions_in_input_normalized
        postprocess_inputs shuffle_buffer_size prelearner_buffer_class prelearner_buffer_kwargs
        prelearner_class prelearner_module_synch_period prelearner_use_recorded_module_states
        output_compress_columns output_config output_filesystem output_filesystem_kwargs
        output_max_file_size output_max_rows_per_file output_write_episodes output_write_method
        output_write_method_kwargs output_write_remaining_data
        """,
    ),
    **each(
        NOTHING,
        "RLlib's own code sees to it on both engines: resources, logging, workers that start",
        """
        num_cpus_for_main_process num_cpus_per_env_runner num_cpus_per_learner num_gpus
        custom_resources_for_main_process custom_resources_per_env_runner
        custom_resources_per_learner placement_strategy _fake_gpus log_level log_sys_usage
        stats_cls_lookup validate_env_runners_after_construction
        sync_filters_on_rollout_workers_timeout_s
        """,
    ),
    **each(
        NOTHING,
        "it tells how failures, transfers or checkpoints are handled, not what is learnt",
        """
        compress_observations delay_between_env_runner_restarts_s
        env_runner_health_probe_timeout_s env_runner_restore_timeout_s
        env_runner_state_server_max_concurrency max_num_env_runner_restarts
        num_consecutive_env_runner_failures_tolerance max_requests_in_flight_per_aggregator_actor
        max_requests_in_flight_per_env_runner max_requests_in_flight_per_learner
        metrics_episode_collection_timeout_s _use_msgpack_checkpoints
        checkpoint_trainable_policies_only export_native_model_files disable_env_checking
        torch_ddp_kwargs torch_compile_learner_dynamo_backend torch_compile_learner_dynamo_mode
        torch_compile_learner_what_to_compile torch_compile_worker_dynamo_backend
        torch_compile_worker_dynamo_mode sampler_perf_stats_ema_coef local_gpu_idx
        policy_map_capacity policy_states_are_swappable
        """,
    ),
    **each(
        NOTHING,
        "of RLlib's episodes, batches and other frameworks, which arrays do without",
        """
        episode_lookback_horizon episodes_to_numpy _dont_auto_sync_env_runner_states
        _disable_preprocessor_api _disable_action_flattening
        _disable_initialize_loss_from_dummy_batch _tf_policy_handles_more_than_one_loss
        eager_max_retraces eager_tracing enable_tf1_exec_eagerly local_tf_session_args
        tf_session_args
        """,
    ),
    **each(
        NOTHING,
        "RLlib's note to itself",
        """
        algo_class in_evaluation simple_optimizer _is_atari _is_frozen _is_online
        _prior_exploration_config _validate_config
        """,
    ),
    **each(
        REFUSED,
        NOT_READ,
        """
        action_mask_key exploration_config extra_python_environs_for_driver
        extra_python_environs_for_worker fake_sampler keep_per_episode_custom_metrics
        observation_fn optimizer preprocessor_pref remote_env_batch_wait_ms remote_worker_envs
        render_env replay_sequence_length sample_collector
        """,
    ),
    **each(
        REFUSED,
        DEPRECATED,
        """
        _disable_execution_plan_api _enable_rl_module_api always_attach_evaluation_results
        auto_wrap_old_gym_envs buffer_size collect_metrics_timeout
        custom_async_evaluation_function enable_async_evaluation enable_connectors env_task_fn
        evaluation_num_episodes input_evaluation learning_starts metrics_smoothing_episodes
        min_iter_time_s min_sample_timesteps_per_reporting min_time_s_per_reporting
        min_train_timesteps_per_reporting monitor policy_map_cache prioritized_replay_eps
        replay_batch_size replay_mode synchronize_filters timesteps_per_iteration worker_cls
        """,
    ),
}

_EPOCHS = "minibatch_size num_epochs shuffle_batch_per_epoch"

REPLAY: Table = {
    **each(
        ACTS,
        "",
        """
        n_step num_steps_sampled_before_learning_starts replay_buffer_config
        target_network_update_freq tau training_intensity prioritized_replay
        prioritized_replay_alpha prioritized_replay_beta
        """,
    ),
    **each(NOTHING, "save_buffer decides about it", "store_buffer_in_checkpoints"),
    **each(REFUSED, "an off-policy update takes one batch, in RLlib too", _EPOCHS),
}

#: Keys of a network's config by what becomes of them.
MODEL_KEYS: Table = {
    **each(
        ACTS,
        "",
        """
        fcnet_hiddens fcnet_activation fcnet_kernel_initializer fcnet_kernel_initializer_kwargs
        fcnet_bias_initializer fcnet_bias_initializer_kwargs fcnet_use_layernorm conv_filters
        conv_activation conv_kernel_initializer conv_kernel_initializer_kwargs
        conv_bias_initializer conv_bias_initializer_kwargs head_fcnet_hiddens
        head_fcnet_activation head_fcnet_kernel_initializer head_fcnet_kernel_initializer_kwargs
        head_fcnet_bias_initializer head_fcnet_bias_initializer_kwargs head_fcnet_use_layernorm
        free_log_std log_std_clip_param vf_share_layers
        """,
    ),
    **each(FALLBACK, "a recurrent network", "use_lstm"),
    **each(
        NOTHING,
        "with use_lstm alone",
        """
        max_seq_len lstm_cell_size lstm_use_prev_action lstm_use_prev_reward
        lstm_kernel_initializer lstm_kernel_initializer_kwargs lstm_bias_initializer
        lstm_bias_initializer_kwargs
        """,
    ),
    **each(
        REFUSED,
        NOT_READ,
        """
        fusionnet_hiddens fusionnet_activation fusionnet_kernel_initializer
        fusionnet_kernel_initializer_kwargs fusionnet_bias_initializer
        fusionnet_bias_initializer_kwargs
        """,
    ),
}
