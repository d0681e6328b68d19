"""The rows of settings.txt, for a plug on which that file is missing or not whole.

It goes on with every setting; only the forms lack their words. Loaded for that and let go. Made by
tools/make_docs.py.
"""

# ruff: noqa: E501

TABLE = """\
& cool_below_c hot_above_c: cool_below_c must be less than hot_above_c
& long_press_ms portal_press_ms: long_press_ms must be less than portal_press_ms
& pin_button pin_relay pin_led: pin_button, pin_relay and pin_led must differ
& topic_: topic_switch and the other sub-topics must differ
wifi_ssid|text*|0|32||
wifi_password|secret*|0|64||
wifi_country|text*|0|2||
hostname|text*|1|32|octoplugout|
portal_password|secret|8|63||
ota_key|secret|0|64||
octoprint_host|host*|0|64||
octoprint_port|port*|1|65535|80|
octoprint_api_key|secret*|0|64||
probe_port|port*|1|65535|22|
shutdown_pi|bool*|||true|
render_wait_s|float*|0|86400|3600|
alarm_above_c|float*|0|500|0|
remote_print|bool+|||false|
watch_bed|bool*|||false|
reconnect|bool*|||false|
reconnect_delay_s|float*|0|3600|10|
reconnect_every_s|float*|1|3600|15|
reconnect_window_s|float*|1|7200|300|
mqtt_host|host*|0|64||
mqtt_port|port*|1|65535|1883|
mqtt_user|text*|0|64||
mqtt_password|secret*|0|64||
mqtt_topic|text*|1|64|octoplugout/{id}|
mqtt_report_s|float*|0.2|86400|60|
mqtt_keepalive_s|int*|1|3600|60|
topic_print|text|2|32|/print|
topic_log|text|2|32|/log|
ha_discovery|bool*|||false|
ha_prefix|text*|0|64||
topic_switch|text|2|32|/switch|
topic_update|text|2|32|/update|
topic_plugstate|text|2|32|/plugstate|
topic_relay|text|2|32|/relay|
topic_mode|text|2|32|/mode|
topic_reason|text|2|32|/reason|
topic_countdown|text|2|32|/countdown|
topic_status|text|2|32|/status|
topic_error|text|2|32|/error|
topic_printstate|text|2|32|/state/printstate|
topic_extrudertemp|text|2|32|/state/extrudertemp|
topic_bedtemp|text|2|32|/state/bedtemp|
topic_jobstate|text|2|32|/job/jobstate|
topic_jobprogress|text|2|32|/job/jobprogress|
topic_info|text|2|32|/info|
initial_state|choice*|Relay_off/Switched_ON/Waiting_for_print_activity/last||Waiting_for_print_activity|
cool_below_c|float*|20|150|50|
hot_above_c|float*|30|350|175|
min_job_s|float*|0|86400|300|
shutdown_wait_s|float*|0|3600|30|
halt_settle_s|float*|0.2|3600|45|
shutdown_max_s|float*|1|7200|120|
pi_down_s|float*|0|3600|15|
boot_s|float*|0|3600|120|
wifi_settle_s|float*|0|3600|180|
blind_cool_s|float*|0|86400|900|
poll_s|float*|0.2|60|5|
poll_idle_s|float*|0.2|300|15|
long_press_ms|int*|100|5000|600|
portal_press_ms|int*|500|14000|5000|
portal_open_s|float|1|600|180|
button_lock|bool*|||false|
led_patterns|list*|Relay_off/Switched_ON/Waiting_for_print_activity/Waiting_for_print_activity_connected/print_started/ready_for_shutting_down/ready_for_shutting_down_extruder_HOT/shutting_down_PI/delayed_powering_relay_off/going_down|12||
led_version|bool|||true|
led_off|bool*|||false|
messages|list*||6|OctoPlugout 5.0/PRINT started/Poweroff after PRINT/Shutdown at T=%c (now %t)/Poweroff in %ws/NOT monitoring|
pin_button|pin|0|16|0|
pin_relay|pin|0|16|12|
pin_led|pin|0|16|13|
invert_relay|bool|||false|
invert_led|bool|||false|
invert_button|bool|||false|
bridge|bool+|||false|
bridge_id|text+|0|64||
topic_commands|text|2|64|octoPrint/commands|
topic_answers|text|2|64|octoprint|
.
"""
