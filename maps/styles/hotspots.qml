<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>
<qgis version="3.28.0" styleCategories="Symbology|Labeling" labelsEnabled="0">
 <renderer-v2 type="RuleRenderer" symbollevels="0" enableorderby="0">
  <rules key="root">
   <rule key="r0" symbol="0" filter="significant AND cases_near &gt; 1 AND gi_z &gt;= 3.09" label="hot spot, Gi* ≥ 3.09 · 热点"/>
   <rule key="r1" symbol="1" filter="significant AND cases_near &gt; 1 AND gi_z &gt;= 2.326 AND gi_z &lt; 3.09" label="hot spot, Gi* ≥ 2.33 · 热点"/>
   <rule key="r2" symbol="2" filter="significant AND cases_near &gt; 1 AND gi_z &lt; 2.326" label="hot spot · 热点"/>
   <rule key="r3" symbol="3" filter="(NOT significant OR cases_near &lt; 2) AND expected_sites &gt; 0" label="cases, no cluster · 有案件，非热点"/>
  </rules>
  <symbols>
   <symbol type="fill" name="0" alpha="1" clip_to_extent="1" force_rhr="0">
    <layer class="SimpleFill" enabled="1" locked="0" pass="0">
     <Option type="Map">
      <Option type="QString" name="color" value="204,76,2,150"/>
      <Option type="QString" name="style" value="solid"/>
      <Option type="QString" name="outline_color" value="120,70,20,160"/>
      <Option type="QString" name="outline_style" value="solid"/>
      <Option type="QString" name="outline_width" value="0.2"/>
      <Option type="QString" name="outline_width_unit" value="MM"/>
     </Option>
    </layer>
   </symbol>
   <symbol type="fill" name="1" alpha="1" clip_to_extent="1" force_rhr="0">
    <layer class="SimpleFill" enabled="1" locked="0" pass="0">
     <Option type="Map">
      <Option type="QString" name="color" value="254,153,41,140"/>
      <Option type="QString" name="style" value="solid"/>
      <Option type="QString" name="outline_color" value="120,70,20,160"/>
      <Option type="QString" name="outline_style" value="solid"/>
      <Option type="QString" name="outline_width" value="0.2"/>
      <Option type="QString" name="outline_width_unit" value="MM"/>
     </Option>
    </layer>
   </symbol>
   <symbol type="fill" name="2" alpha="1" clip_to_extent="1" force_rhr="0">
    <layer class="SimpleFill" enabled="1" locked="0" pass="0">
     <Option type="Map">
      <Option type="QString" name="color" value="254,227,145,140"/>
      <Option type="QString" name="style" value="solid"/>
      <Option type="QString" name="outline_color" value="120,70,20,160"/>
      <Option type="QString" name="outline_style" value="solid"/>
      <Option type="QString" name="outline_width" value="0.2"/>
      <Option type="QString" name="outline_width_unit" value="MM"/>
     </Option>
    </layer>
   </symbol>
   <symbol type="fill" name="3" alpha="1" clip_to_extent="1" force_rhr="0">
    <layer class="SimpleFill" enabled="1" locked="0" pass="0">
     <Option type="Map">
      <Option type="QString" name="color" value="0,0,0,0"/>
      <Option type="QString" name="style" value="no"/>
      <Option type="QString" name="outline_color" value="120,70,20,160"/>
      <Option type="QString" name="outline_style" value="solid"/>
      <Option type="QString" name="outline_width" value="0.2"/>
      <Option type="QString" name="outline_width_unit" value="MM"/>
     </Option>
    </layer>
   </symbol>
  </symbols>
 </renderer-v2>
</qgis>
